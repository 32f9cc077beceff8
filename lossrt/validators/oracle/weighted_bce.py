"""CenterTrack's masked binary cross-entropy on nuScenes' attributes in float64.

Source of the formula: `WeightedBCELoss` of CenterTrack (`src/lib/model/losses.py`).
"""

__all__ = ["weighted_bce"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.slots import EPSILON, slots_of


def weighted_bce(pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64]) -> Estimate:
    """Estimate Σ m·bce(x, t) / (Σm + 1e-4), bce(x, t) = max(x, 0) − x·t + log(1 + e^−|x|).

    The three parts nearly cancel where the prediction is right, so the scale holds each of them. An infinite logit
    gives NaN wherever PyTorch's form, (1 − t)·x − log σ(x), does.

    Args:
        pred: Predicted map, [B, 8, H, W], logits.
        target: 1 where the object has the attribute, else 0, [B, M, 8].
        mask: 1 where it is known, [B, M, 8]; it multiplies, so NaN passes through.
        ind: Pixel index of each slot, [B, M].

    Returns:
        Scalar loss in nats, exactly 0 when the mask is empty; terms: B·M·8.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        slots = slots_of(pred, target, mask, ind, raw_depth=False)
        x, t = slots.pred, slots.target
        tail = np.log1p(np.exp(-np.abs(x)))
        terms = slots.mask * (((1 - t) * x - np.minimum(x, 0)) + tail)
        parts = np.abs(slots.mask) * (np.maximum(x, 0) + np.abs(x * t) + tail)
        divisor = slots.mask.sum() + EPSILON
        value, scale = terms.sum() / divisor, np.abs(parts.sum() / divisor)
    return Estimate(value=np.asarray(value), scale=np.asarray(scale), terms=mask.size)
