"""Gradients of the focal losses on heatmaps in float64.

Sources of the formulas: derivatives of those in `fast_focal` and `focal`, by hand, for the logit where the heatmap is
raw: it has none where the probability is clamped.
"""

__all__ = ["fast_focal_gradient", "focal_gradient"]

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.gradients_slots import OPERATIONS, ROUNDED, Floats, undecided_scale
from lossrt.validators.oracle.heatmap import CLAMP, heatmap_of

LIMIT = float(np.log((1 - CLAMP) / CLAMP))
"""Logit at which upstream's clamp of the probability takes over, on either side of 0."""


@dataclass(frozen=True, slots=True)
class _Slopes:
    """Derivatives of −log(1−p)·p² and of −log(p)·(1−p)² for the prediction; [B, C, H, W] each.

    Attributes:
        missing: The former.
        missing_size: Σ|parts| of it.
        found: The latter.
        found_size: Σ|parts| of it.
        inside: False where the clamp leaves no gradient.
        unsure: Where rounding decides on which side of the clamp the logit lies.
    """

    missing: Floats
    missing_size: Floats
    found: Floats
    found_size: Floats
    inside: NDArray[np.bool_]
    unsure: NDArray[np.bool_]

    def estimate(self, value: Floats, scale: Floats, *, terms: int) -> Estimate:
        """Select what the clamp lets through: a gradient behind it is 0, whatever its factors are."""
        undecided = np.where(self.unsure, undecided_scale(value, 0.0), np.abs(scale))
        return Estimate(
            value=np.where(self.inside, value, 0.0),
            scale=np.where(self.inside | self.unsure, undecided, 0.0),
            terms=OPERATIONS + terms,
        )


def fast_focal_gradient(
    pred: NDArray[Any],
    target: NDArray[Any],
    ind: NDArray[np.int64],
    mask: NDArray[Any],
    cat: NDArray[np.int64],
    *,
    applied: bool,
) -> Estimate:
    """Estimate the gradient of `lossrt.validators.oracle.fast_focal.fast_focal` for the prediction.

    Args:
        pred: Predicted heatmap, [B, C, H, W]: logits, or probabilities where `applied`.
        target: Target heatmap t, [B, C, H, W].
        ind: Pixel index of each slot, [B, M].
        mask: 1 where a slot holds an object, [B, M].
        cat: Class of each slot, [B, M].
        applied: The network has activated and clamped the heatmap.

    Returns:
        Value and scale [B, C, H, W]; terms: the most slots that share a pixel and class.
    """
    with np.errstate(all="ignore"):
        slopes = _slopes_of(pred, applied=applied)
        factor = (1 - target.astype(np.float64)) ** 4
        value, scale = slopes.missing * factor, slopes.missing_size * factor
        weights = mask.astype(np.float64)
        count = weights.sum()
        sharing = np.zeros(1, dtype=np.int64)
        if count != 0:
            flat = tuple(part.reshape(*part.shape[:2], -1) for part in (value, scale, slopes.found, slopes.found_size))
            at = (np.broadcast_to(np.arange(len(ind))[:, None], ind.shape), cat, ind)
            np.add.at(flat[0], at, flat[2][at] * weights)
            np.add.at(flat[1], at, flat[3][at] * np.abs(weights))
            live = weights != 0
            place = np.ravel_multi_index(tuple(part[live] for part in at), flat[0].shape)
            sharing = np.unique(place, return_counts=True)[1]
        divisor = count if count != 0 else np.float64(1)
        return slopes.estimate(value / divisor, scale / divisor, terms=int(sharing.max(initial=0)))


def focal_gradient(pred: NDArray[Any], target: NDArray[Any], *, applied: bool) -> Estimate:
    """Estimate the gradient of `lossrt.validators.oracle.focal.focal` for the prediction.

    Args:
        pred: Predicted heatmap, [B, C, H, W]: logits, or probabilities where `applied`.
        target: Target heatmap t, [B, C, H, W].
        applied: The network has activated and clamped the heatmap.
    """
    with np.errstate(all="ignore"):
        slopes = _slopes_of(pred, applied=applied)
        t = target.astype(np.float64)
        count = max(int(np.count_nonzero(t == 1)), 1)
        factor = np.where(t == 1, 0.0, (1 - t) ** 4)
        value = np.where(t == 1, slopes.found, slopes.missing * factor) / count
        scale = np.where(t == 1, slopes.found_size, slopes.missing_size * factor) / count
        return slopes.estimate(value, scale, terms=0)


def _slopes_of(pred: NDArray[Any], *, applied: bool) -> _Slopes:
    heat = heatmap_of(pred, applied=applied)
    p, rest, log_p, log_rest = heat.p, heat.rest, heat.log_p, heat.log_rest
    if applied:
        return _Slopes(
            missing=p * (p / rest - 2 * log_rest),
            missing_size=p * (p / rest + 2 * np.abs(log_rest) + 2),
            found=rest * (2 * log_p - rest / p),
            found_size=rest * (rest / p + 2 * np.abs(log_p) + 2),
            inside=np.ones(pred.shape, dtype=np.bool_),
            unsure=np.zeros(pred.shape, dtype=np.bool_),
        )
    x = pred.astype(np.float64)
    # A logarithm's argument near 1, and 1 − p near 0, are rounded by one unit of roundoff, whatever their own size.
    return _Slopes(
        missing=p**2 * (p - 2 * rest * log_rest),
        missing_size=p**2 * (p + 2 * np.abs(log_rest) + 2 * rest),
        found=-(rest**2) * (rest - 2 * p * log_p),
        found_size=rest**2 * (rest + 2 * np.abs(log_p) + 2 * p),
        # NaN is neither below nor above, and stays.
        inside=~((x < -LIMIT) | (x > LIMIT)),
        unsure=np.abs(np.abs(x) - LIMIT) <= ROUNDED * LIMIT,
    )
