"""CenterTrack's masked L1 loss on regression heads in float64.

Source of the formula: `RegWeightedL1Loss` of CenterTrack (`src/lib/model/losses.py`).
"""

__all__ = ["EPSILON", "reg_weighted_l1"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.gather import gathered

EPSILON = 1e-4
"""What upstream adds to the number of masked elements."""


def reg_weighted_l1(pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64]) -> Estimate:
    """Estimate Σ|pred·m − target·m| / (Σm + 1e-4), pred read at the indexed pixels.

    Args:
        pred: Predicted map, [B, D, H, W], px.
        target: Target of each slot, [B, M, D], px.
        mask: 1 where a slot's element counts, [B, M, D]; it multiplies, so NaN passes through.
        ind: Pixel index of each slot, [B, M].

    Returns:
        Scalar loss in px, exactly 0 when the mask is empty; terms: B·M·D.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        weights = mask.astype(np.float64)
        terms = np.abs(gathered(pred, ind) * weights - target.astype(np.float64) * weights)
        value = np.asarray(terms.sum() / (weights.sum() + EPSILON))
    return Estimate(value=value, scale=np.abs(value), terms=mask.size)
