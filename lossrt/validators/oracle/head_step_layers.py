"""A head's two convolutions in float64, forward, and backward to their weights, over every pixel that matters.

Source of the network: CenterTrack `src/lib/model/networks/base_model.py`; the derivatives are by hand.
"""

__all__ = ["Head", "Hidden", "gradients", "hidden_of", "neighbourhoods", "prediction_of", "read_head", "size_nearby"]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.validators.oracle.rounded import UNIT, Floats, Rounded, added, contracted, exact

Arrays = Mapping[str, NDArray[Any]]
TAPS = 3
REACH = 9


@dataclass(frozen=True, slots=True)
class Head:
    """Parameters of a head: first [K, 9·F] and [K], None where they are not trained; last [D, K] and [D]."""

    first: tuple[Rounded, Rounded] | None
    last: tuple[Rounded, Rounded]


@dataclass(frozen=True, slots=True)
class Hidden:
    """A head's hidden activations at P pixels of all images.

    Attributes:
        patches: 3x3 neighbourhoods, [9·F, P]; None where they are not trained on.
        before: Before the ReLU, [K, P].
        after: After it.
        nearby: rms of the features around each pixel, [F, P]; None where only the patches are read.
    """

    patches: Rounded | None
    before: Rounded
    after: Rounded
    nearby: Floats | None = None


def read_head(arrays: Arrays, head: str) -> Head:
    """Return a head's parameters from a step's inputs."""

    def layer(number: int) -> tuple[Rounded, Rounded]:
        weight = exact(arrays[f"param_{head}_{number}_weight"])
        return weight.reshape(len(weight.value), -1), exact(arrays[f"param_{head}_{number}_bias"])

    return Head(layer(0) if f"param_{head}_0_weight" in arrays else None, layer(2))


def neighbourhoods(features: NDArray[Any]) -> Rounded:
    """Return the 3x3 neighbourhoods of every pixel, zeros beyond the border: [B, F, H, W] to [9·F, B·H·W]."""
    padded = np.pad(features.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (TAPS, TAPS), axis=(2, 3))
    columns = windows.transpose(1, 4, 5, 0, 2, 3).reshape(TAPS * TAPS * features.shape[1], -1)
    return exact(columns)


def size_nearby(features: NDArray[Any]) -> Floats:
    """Return the rms of the features in the 9x9 pixels around every pixel: [B, F, H, W] to [F, B·H·W].

    A convolution over 4x4 tiles, as minimal filtering has it, reads that far from a pixel, and rounds by what it reads.
    """
    reach = REACH // 2
    squares = np.pad(features.astype(np.float64) ** 2, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    windows = np.lib.stride_tricks.sliding_window_view(squares, (REACH, REACH), axis=(2, 3))
    rms = np.sqrt(np.moveaxis(windows.mean((4, 5)), 1, 0))
    return np.asarray(rms.reshape(features.shape[1], -1))


def hidden_of(head: Head, given: NDArray[Any], patches: Rounded | None, nearby: Floats | None = None) -> Hidden:
    """Return the hidden activations.

    Args:
        head: The parameters.
        given: [B, K, ...] where the head starts from them; not read where there are patches.
        patches: From `neighbourhoods`, where the first convolution is trained.
        nearby: From `size_nearby`, where it goes over the whole map.
    """
    if head.first is None or patches is None:
        columns = exact(np.moveaxis(given, 1, 0).reshape(given.shape[1], -1))
        return Hidden(None, columns, columns)
    weight, bias = head.first
    before = added(contracted("kf,fp->kp", weight, patches, terms=len(patches.value)), bias.reshape(-1, 1))
    # Where the sign is undecided, so is whether anything passes.
    error = before.error * (before.value > -before.error)
    return Hidden(patches, before, Rounded(np.maximum(before.value, 0), error), nearby)


def prediction_of(head: Head, hidden: Hidden) -> Rounded:
    """Return the prediction, [D, P]."""
    weight, bias = head.last
    return added(contracted("dk,kp->dp", weight, hidden.after, terms=weight.value.shape[1]), bias.reshape(-1, 1))


def gradients(head: Head, hidden: Hidden, slope: Rounded) -> dict[str, Rounded]:
    """Return the gradients of the parameters by layer and kind: `2_weight`, [D, K], `2_bias`, and of layer 0 too.

    Args:
        head: The parameters.
        hidden: Its activations.
        slope: Gradient of the loss for the prediction, [D, P].
    """
    # Most heads have a gradient at a few pixels only.
    live = np.flatnonzero((slope.value != 0).any(0) | (slope.error != 0).any(0))
    slope, after = slope[:, live], hidden.after[:, live]
    count = max(1, live.size)
    weight = head.last[0]
    found = {
        "2_weight": contracted("dp,kp->dk", slope, after, terms=count),
        "2_bias": slope.summed(1, terms=count),
    }
    if head.first is None or hidden.patches is None:
        return found
    behind = contracted("dk,dp->kp", weight, slope, terms=len(slope.value))
    passed = _passed(behind, hidden.before[:, live])
    first = contracted("kp,fp->kf", passed, hidden.patches[:, live], terms=count)
    if hidden.nearby is not None:
        growth = UNIT * (1 + math.sqrt(count)) * np.abs(passed.value) @ hidden.nearby[:, live].T
        first = Rounded(first.value, first.error + np.repeat(growth, TAPS * TAPS, axis=1))
    return {"0_weight": first, "0_bias": passed.summed(1, terms=count)} | found


def _passed(slope: Rounded, before: Rounded) -> Rounded:
    """Return what passes the ReLU backwards; where the sign is undecided, all of it may be wrong."""
    opened: Floats = (before.value > 0).astype(np.float64)
    undecided = np.abs(before.value) <= before.error
    error = slope.error * (opened + undecided > 0) + np.abs(slope.value) * undecided
    return Rounded(slope.value * opened, error)
