"""CenterPoint's regression loss in float64: a distance for each channel, summed with weights.

Source of the formula: `RegLoss` and `CenterHead.loss` of CenterPoint (`det3d/models/losses/centernet_loss.py`,
`det3d/models/bbox_heads/center_head.py`).
"""

__all__ = ["channel_l1", "code_weighted_l1"]

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.slots import EPSILON, slots_of


def channel_l1(pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64]) -> Estimate:
    """Estimate Σ|pred·m − target·m| / (n + 1e-4) of each channel, over all images and slots; n = Σm.

    Args:
        pred: Predicted map, [B, D, H, W], each channel in its unit.
        target: Target of each slot, [B, M, D].
        mask: 1 where a slot holds an object, [B, M]; it multiplies, so NaN passes through.
        ind: Pixel index of each slot, [B, M].

    Returns:
        Value and scale [D], each channel in its unit, exactly 0 without objects; terms: B·M.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        slots = slots_of(pred, target, mask, ind, raw_depth=False)
        value = slots.distance.sum(axis=(0, 1)) / (mask.astype(np.float64).sum() + EPSILON)
    return Estimate(value=value, scale=np.abs(value), terms=mask.size)


def code_weighted_l1(channels: Estimate, code_weights: Sequence[float]) -> Estimate:
    """Estimate Σ weight·loss over the channels.

    Args:
        channels: What `channel_l1` gave, [D].
        code_weights: Weight of each channel, D of them.

    Returns:
        Scalar loss; terms: B·M·D.
    """
    weights = np.asarray(code_weights, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        value, scale = (weights * channels.value).sum(), (np.abs(weights) * channels.scale).sum()
    return Estimate(value=np.asarray(value), scale=np.asarray(scale), terms=channels.terms * len(weights))
