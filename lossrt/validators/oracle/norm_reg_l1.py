"""CenterNet's L1 loss relative to the target in float64.

Source of the formula: `NormRegL1Loss` of CenterNet (`src/lib/models/losses.py`).
"""

__all__ = ["norm_reg_l1"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.slots import EPSILON, slots_of


def norm_reg_l1(
    pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64], *, raw_depth: bool = False
) -> Estimate:
    """Estimate Σ|pred/(target + 1e-4)·m − m| / (n·D + 1e-4), n = Σm.

    The quotient and the 1 nearly cancel where the prediction is good, so the scale holds both; the quotient is
    magnified by (|target| + 1e-4)/|target + 1e-4|, what the sum in its divisor may lose.

    Args:
        pred: Predicted map, [B, D, H, W], in the head's unit.
        target: Target of each slot, [B, M, D], in the head's unit; where it is not finite, the loss is NaN, as upstream.
        mask: 1 where a slot holds an object, [B, M]; it multiplies, so NaN passes through.
        ind: Pixel index of each slot, [B, M].
        raw_depth: The prediction is the logit of a depth.

    Returns:
        Scalar loss, a ratio, exactly 0 without objects; terms: B·M·D.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slots = slots_of(pred, target, mask, ind, raw_depth=raw_depth)
        shifted = slots.target + EPSILON
        one = slots.target * 0 + 1
        terms = np.abs(slots.pred / shifted * slots.mask - one * slots.mask)
        quotient = (np.abs(slots.pred) + slots.own) / np.abs(shifted)
        lost = (np.abs(slots.target) + EPSILON) / np.abs(shifted)
        divisor = mask.astype(np.float64).sum() * pred.shape[1] + EPSILON
        value = terms.sum() / divisor
        scale = ((quotient * lost + 1) * np.abs(slots.mask)).sum() / divisor
    return Estimate(value=np.asarray(value), scale=np.asarray(np.abs(scale)), terms=target.size)
