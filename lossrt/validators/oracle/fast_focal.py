"""CenterTrack's focal loss on heatmaps in float64.

Source of the formula: `FastFocalLoss` and `_sigmoid` of CenterTrack (`src/lib/model/losses.py`, `src/lib/model/utils.py`).
"""

__all__ = ["CLAMP", "fast_focal"]

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate

CLAMP = 1e-4
"""Upstream clamps the activated heatmap to [CLAMP, 1 − CLAMP]."""


@dataclass(frozen=True, slots=True)
class _Heatmap:
    """p, 1 − p and their logarithms, each [B, C, H, W] and each with its own full precision."""

    p: NDArray[np.float64]
    rest: NDArray[np.float64]
    log_p: NDArray[np.float64]
    log_rest: NDArray[np.float64]


def fast_focal(
    pred: NDArray[Any],
    target: NDArray[Any],
    ind: NDArray[np.int64],
    mask: NDArray[Any],
    cat: NDArray[np.int64],
    *,
    applied: bool,
) -> Estimate:
    """Estimate the loss: −(pos + neg) / n, or −neg without objects.

    neg = Σ log(1 − p)·p²·(1 − t)⁴ over the map, pos = Σ log(q)·(1 − q)²·mask over the object slots,
    q = p at the slot's pixel and class, n = Σ mask. All terms carry one sign, so the scale is the size of the sums.

    Args:
        pred: Predicted heatmap, [B, C, H, W]: logits, or probabilities where `applied`.
        target: Target heatmap t, [B, C, H, W], in [0, 1].
        ind: Pixel index of each slot, [B, M].
        mask: 1 where a slot holds an object, [B, M]; it multiplies, so NaN passes through.
        cat: Class of each slot, [B, M].
        applied: The network has activated and clamped the heatmap; nothing is clamped here then.

    Returns:
        Scalar loss; terms: B·C·H·W + B·M.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        heat = _from_probabilities(pred) if applied else _from_logits(pred)
        weights = mask.astype(np.float64)
        negative = heat.log_rest * heat.p**2 * (1 - target.astype(np.float64)) ** 4
        positive = _at_slots(heat.log_p, ind, cat) * _at_slots(heat.rest, ind, cat) ** 2 * weights
        count = weights.sum()
        divisor = np.float64(1) if count == 0 else count
        # Upstream leaves `pos` out of the branch without objects.
        total = negative.sum() if count == 0 else negative.sum() + positive.sum()
        scale = (np.abs(negative).sum() + np.abs(positive).sum()) / np.abs(divisor)
    return Estimate(value=np.asarray(-total / divisor), scale=np.asarray(scale), terms=pred.size + mask.size)


def _from_logits(logits: NDArray[Any]) -> _Heatmap:
    """Activate and clamp; log σ(x) = −log(1 + e⁻ˣ) and 1 − σ(x) = σ(−x) stay exact at any x."""
    x = logits.astype(np.float64)
    low, high = np.log(CLAMP), np.log1p(-CLAMP)
    log_p, log_rest = (np.clip(-np.logaddexp(0, sign * x), low, high) for sign in (-1, 1))
    return _Heatmap(p=np.exp(log_p), rest=np.exp(log_rest), log_p=log_p, log_rest=log_rest)


def _from_probabilities(probabilities: NDArray[Any]) -> _Heatmap:
    p = probabilities.astype(np.float64)
    return _Heatmap(p=p, rest=1 - p, log_p=np.log(p), log_rest=np.log1p(-p))


def _at_slots(values: NDArray[np.float64], ind: NDArray[np.int64], cat: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values at each slot's class and pixel: [B, C, H, W] to [B, M]."""
    flat = values.reshape(*values.shape[:2], -1)
    return flat[np.arange(len(flat))[:, None], cat, ind]
