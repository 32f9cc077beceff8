"""CenterTrack's masked L1 loss on regression heads in float64.

Source of the formula: `RegWeightedL1Loss` of CenterTrack (`src/lib/model/losses.py`).
"""

__all__ = ["reg_weighted_l1"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.slots import EPSILON, slots_of


def reg_weighted_l1(
    pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64], *, raw_depth: bool = False
) -> Estimate:
    """Estimate Σ|pred·m − target·m| / (Σm + 1e-4), pred read at the indexed pixels.

    Args:
        pred: Predicted map, [B, D, H, W], in the head's unit.
        target: Target of each slot, [B, M, D], in the head's unit.
        mask: 1 where a slot's element counts, [B, M, D]; it multiplies, so NaN passes through.
        ind: Pixel index of each slot, [B, M]; of joints, M stands for 17·M.
        raw_depth: The prediction is the logit of a depth.

    Returns:
        Scalar loss in the head's unit, exactly 0 when the mask is empty; terms: B·M·D.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        slots = slots_of(pred, target, mask, ind, raw_depth=raw_depth)
        divisor = slots.mask.sum() + EPSILON
        value, scale = slots.distance.sum() / divisor, slots.rounding.sum() / divisor
    return Estimate(value=np.asarray(value), scale=np.asarray(np.abs(scale)), terms=slots.mask.size)
