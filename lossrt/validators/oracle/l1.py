"""CenterNet's plain L1 loss over every slot, empty ones included, in float64.

Source of the formula: `L1Loss` of CenterNet (`src/lib/models/losses.py`), which it trains 3D boxes with.
"""

__all__ = ["l1"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.slots import slots_of


def l1(
    pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64], *, raw_depth: bool = False
) -> Estimate:
    """Estimate the mean of |pred·m − target·m| over all B·M·D elements.

    Args:
        pred: Predicted map, [B, D, H, W], in the head's unit.
        target: Target of each slot, [B, M, D], in the head's unit.
        mask: 1 where a slot holds an object, [B, M]; it multiplies, so NaN passes through.
        ind: Pixel index of each slot, [B, M].
        raw_depth: The prediction is the logit of a depth.

    Returns:
        Scalar loss in the head's unit; terms: B·M·D.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        slots = slots_of(pred, target, mask, ind, raw_depth=raw_depth)
        value, scale = slots.distance.sum() / target.size, slots.rounding.sum() / target.size
    return Estimate(value=np.asarray(value), scale=np.asarray(scale), terms=target.size)
