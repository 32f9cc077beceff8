"""The smooth-L1 loss on regression heads, divided by the number of objects, in float64.

Source of the formula: `_reg_loss` of CenterNet (`src/lib/models/losses.py`).
"""

__all__ = ["penalty_of", "smooth_l1"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.slots import EPSILON, slots_of


def smooth_l1(
    pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64], *, raw_depth: bool = False
) -> Estimate:
    """Estimate Σ s(|pred·m − target·m|) / (n + 1e-4), n = Σm, s as in `penalty_of`.

    Args:
        pred: Predicted map, [B, D, H, W], in the head's unit.
        target: Target of each slot, [B, M, D], in the head's unit.
        mask: 1 where a slot holds an object, [B, M]; it multiplies, so NaN passes through.
        ind: Pixel index of each slot, [B, M].
        raw_depth: The prediction is the logit of a depth.

    Returns:
        Scalar loss, exactly 0 without objects; terms: B·M·D.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        slots = slots_of(pred, target, mask, ind, raw_depth=raw_depth)
        terms, rounding = penalty_of(slots.distance, slots.own * np.abs(slots.mask))
        divisor = mask.astype(np.float64).sum() + EPSILON
        value, scale = terms.sum() / divisor, np.abs(rounding.sum() / divisor)
    return Estimate(value=np.asarray(value), scale=np.asarray(scale), terms=target.size)


def penalty_of(
    distance: NDArray[np.float64], own: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return s(d) = d²/2 below 1 and d − 1/2 above, and what its rounding is measured by.

    The measure counts both parts of the difference, and the distance's own rounding times s'(d) = min(d, 1).

    Args:
        distance: d, not negative, any shape.
        own: What the rounding of d is measured by, beyond d itself; same shape.
    """
    near = distance < 1
    value = np.where(near, distance**2 / 2, distance - 0.5)
    return value, np.where(near, distance**2 / 2, distance + 0.5) + np.minimum(distance, 1) * own
