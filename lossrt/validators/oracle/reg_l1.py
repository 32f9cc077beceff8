"""CenterNet's L1 loss on regression heads, one mask an object, in float64.

Source of the formula: `RegL1Loss` of CenterNet (`src/lib/models/losses.py`).
"""

__all__ = ["reg_l1"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.slots import EPSILON, slots_of


def reg_l1(
    pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64], *, raw_depth: bool = False
) -> Estimate:
    """Estimate Σ|pred·m − target·m| / (n·D + 1e-4), n = Σm.

    Args:
        pred: Predicted map, [B, D, H, W], in the head's unit.
        target: Target of each slot, [B, M, D], in the head's unit.
        mask: 1 where a slot holds an object, [B, M]; it multiplies, so NaN passes through.
        ind: Pixel index of each slot, [B, M].
        raw_depth: The prediction is the logit of a depth.

    Returns:
        Scalar loss in the head's unit, exactly 0 without objects; terms: B·M·D.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        slots = slots_of(pred, target, mask, ind, raw_depth=raw_depth)
        divisor = mask.astype(np.float64).sum() * pred.shape[1] + EPSILON
        value, scale = slots.distance.sum() / divisor, slots.rounding.sum() / divisor
    return Estimate(value=np.asarray(value), scale=np.asarray(np.abs(scale)), terms=target.size)
