"""Gradients of the losses that read a head at the objects, in float64, put back onto the map.

Sources of the formulas: derivatives of those in `reg_weighted_l1`, `reg_l1`, `norm_reg_l1`, `l1`, `smooth_l1`,
`code_weighted_l1` and `weighted_bce`, by hand. At a kink the slope is 0, as in PyTorch; so is that of NaN.
"""

__all__ = ["OPERATIONS", "ROUNDED", "distance_gradient", "entropy_gradient", "placed", "undecided_scale"]

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.depth import EPSILON as DEPTH_EPSILON
from lossrt.validators.oracle.gather import gathered
from lossrt.validators.oracle.slots import EPSILON, Slots, slots_of

Floats = NDArray[np.float64]
Distance = Literal["absolute", "relative", "smooth"]
OPERATIONS = 64
"""Roundings between the inputs and an element of a gradient, beside the sums: autograd's longest chain here."""
ROUNDED = 2.0**-21
"""A residual below this share of its parts may have either sign in fp32, a few operations from its inputs."""


def placed(slopes: Floats, sizes: Floats, ind: NDArray[np.int64], pred: NDArray[Any], *, terms: int = 0) -> Estimate:
    """Add the slots' slopes up at their pixels: slots that share one add up.

    Args:
        slopes: Derivative of the loss for the value that each slot reads, [B, S, D].
        sizes: Σ|parts| of each slope, same shape.
        ind: Pixel index of each slot, [B, S].
        pred: The map that was read, [B, D, H, W].
        terms: Terms of the sums before.

    Returns:
        Value and scale [B, D, H, W]; terms: the most slots that share a pixel, and those before.
    """
    batch, channels = pred.shape[:2]
    value, scale = np.zeros((2, batch, channels, int(np.prod(pred.shape[2:]))))
    image, channel = np.arange(batch)[:, None, None], np.arange(channels)
    # A slot that adds nothing is no term: padding lies at pixel 0 by the hundred.
    live = (sizes != 0) | (slopes != 0)
    place = tuple(np.broadcast_arrays(image, channel, ind[:, :, None]))
    where = tuple(part[live] for part in place)
    np.add.at(value, where, slopes[live])
    np.add.at(scale, where, sizes[live])
    _, sharing = np.unique(np.ravel_multi_index(where, value.shape), return_counts=True)
    most = int(sharing.max(initial=1))
    return Estimate(
        value=value.reshape(pred.shape), scale=scale.reshape(pred.shape), terms=OPERATIONS + terms + most - 1
    )


def distance_gradient(
    pred: NDArray[Any],
    target: NDArray[Any],
    mask: NDArray[Any],
    ind: NDArray[np.int64],
    *,
    divisor: float,
    distance: Distance = "absolute",
    raw_depth: bool = False,
    weights: Floats | None = None,
) -> Estimate:
    """Estimate the gradient of Σ weight·f(residual) / divisor.

    The residual is pred·m − target·m with f its size or smooth-L1; or pred/(target + 1e-4)·m − m for `relative`.
    Where rounding decides on which side of a kink a residual lies, either side is right, and the scale says so.

    Args:
        pred: Predicted map, [B, D, H, W].
        target: Target of each slot, [B, M, D].
        mask: [B, M, D], or [B, M] for all channels alike.
        ind: Pixel index of each slot, [B, M].
        divisor: What the sum is divided by.
        distance: What f is.
        raw_depth: The prediction is the logit of a depth.
        weights: Weight of each channel, [D].
    """
    with np.errstate(all="ignore"):
        slots = slots_of(pred, target, mask, ind, raw_depth=raw_depth)
        inner, inner_size = _inner(pred, ind) if raw_depth else (np.ones(()), np.ones(()))
        slope, size, undecided = _slopes(slots, distance)
        factor = np.ones(()) if weights is None else weights
        slopes = slope * factor * inner / divisor
        sizes = np.abs(size * factor * inner_size / divisor)
        sizes = np.where(undecided, undecided_scale(slopes, inner / divisor * factor), sizes)
    return placed(slopes, np.abs(sizes), ind, pred)


def undecided_scale(slopes: Floats, largest: Floats | float) -> Floats:
    """Return the scale that allows for any slope between −largest and largest, in the tolerance's smallest type.

    Args:
        slopes: The slopes as they come out in float64.
        largest: The size that a slope may have on either side of its kink.
    """
    return np.asarray((np.abs(slopes) + np.abs(largest)) * 2.0**24)


def entropy_gradient(pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64]) -> Estimate:
    """Estimate the gradient of Σ m·bce(x, t) / (Σm + 1e-4): m·(σ(x) − t) / (Σm + 1e-4).

    Args:
        pred: Predicted map, [B, D, H, W], logits.
        target: [B, M, D].
        mask: [B, M, D].
        ind: Pixel index of each slot, [B, M].
    """
    with np.errstate(all="ignore"):
        slots = slots_of(pred, target, mask, ind, raw_depth=False)
        divisor = slots.mask.sum() + EPSILON
        sigmoid = np.exp(-np.logaddexp(0, -slots.pred))
        slopes = slots.mask * (sigmoid - slots.target) / divisor
        # Where x > 0 the slope is 1 − t − σ(−x).
        sizes = np.abs(slots.mask) * (sigmoid + np.abs(slots.target) + (slots.pred > 0)) / divisor
    return placed(slopes, np.abs(sizes), ind, pred)


def _slopes(slots: Slots, distance: Distance) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the derivative for the value read, its size, and where rounding decides its sign; all [B, M, D]."""
    weight = slots.mask
    if distance == "relative":
        shifted = slots.target + EPSILON
        quotient, one = slots.pred / shifted, slots.target * 0 + 1
        residual = quotient * weight - one * weight
        slope = _sign(residual) * weight / shifted
        lost = (np.abs(slots.target) + EPSILON) / np.abs(shifted)
        unsure = np.abs(residual) <= ROUNDED * ((np.abs(quotient) + slots.own / np.abs(shifted)) * lost + 1)
        return slope, np.abs(slope) * lost, unsure & (weight != 0)
    residual = slots.pred * weight - slots.target * weight
    rounding = (slots.own + np.abs(slots.target)) * (slots.own > 0)
    if distance == "smooth":
        bent = np.clip(residual, -1, 1)
        return bent * weight, (np.abs(bent) + rounding) * np.abs(weight), np.zeros(residual.shape, dtype=np.bool_)
    slope = _sign(residual) * weight
    return slope, np.abs(slope), (np.abs(residual) <= ROUNDED * rounding) & (rounding > 0) & (weight != 0)


def _sign(values: Floats) -> Floats:
    return np.asarray((values > 0).astype(np.float64) - (values < 0))


def _inner(pred: NDArray[Any], ind: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the derivative of a depth for its logit, −σ(1−σ)/(σ + 1e-6)², and its size, [B, M, 1].

    The size counts the argument of the exponential, and the quotient that the derivative is a difference of.
    """
    logits = gathered(pred, ind)
    sigmoid, rest = (np.exp(-np.logaddexp(0, sign * logits)) for sign in (-1, 1))
    quotient = 1 / (sigmoid + DEPTH_EPSILON)
    slope = -sigmoid * rest * quotient**2
    return slope, np.abs(slope) * (1 + np.where(np.isfinite(logits), np.abs(logits), 0)) + rest * quotient
