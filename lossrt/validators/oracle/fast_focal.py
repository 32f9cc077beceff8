"""CenterTrack's focal loss on heatmaps in float64.

Source of the formula: `FastFocalLoss` of CenterTrack (`src/lib/model/losses.py`).
"""

__all__ = ["fast_focal"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.heatmap import heatmap_of, scale_of


def fast_focal(
    pred: NDArray[Any],
    target: NDArray[Any],
    ind: NDArray[np.int64],
    mask: NDArray[Any],
    cat: NDArray[np.int64],
    *,
    applied: bool,
) -> Estimate:
    """Estimate the loss: −(pos + neg) / n, or −neg without objects.

    neg = Σ log(1 − p)·p²·(1 − t)⁴ over the map, pos = Σ log(q)·(1 − q)²·mask over the object slots,
    q = p at the slot's pixel and class, n = Σ mask. All terms carry one sign, so the scale is the size of the sums, and
    what rounding does to the logarithms' arguments.

    Args:
        pred: Predicted heatmap, [B, C, H, W]: logits, or probabilities where `applied`.
        target: Target heatmap t, [B, C, H, W], in [0, 1].
        ind: Pixel index of each slot, [B, M]; of joints, M stands for 17·M.
        mask: 1 where a slot holds an object, [B, M]; it multiplies, so NaN passes through.
        cat: Class of each slot, or its joint, [B, M].
        applied: The network has activated and clamped the heatmap; nothing is clamped here then.

    Returns:
        Scalar loss; terms: B·C·H·W + B·M.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        heat = heatmap_of(pred, applied=applied)
        weights = mask.astype(np.float64)
        factor = heat.p**2 * (1 - target.astype(np.float64)) ** 4
        missed = _at_slots(heat.rest, ind, cat) ** 2 * weights
        negative, positive = heat.log_rest * factor, _at_slots(heat.log_p, ind, cat) * missed
        count = weights.sum()
        if count == 0:
            # Upstream leaves `pos` out of the branch without objects.
            count, positive, missed = np.float64(1), np.zeros_like(positive), np.zeros_like(missed)
        value = -(negative.sum() + positive.sum()) / count
        terms = pred.size + mask.size
        scale = scale_of((negative, positive), (factor, missed), terms=terms) / np.abs(count)
    return Estimate(value=np.asarray(value), scale=np.asarray(scale), terms=terms)


def _at_slots(values: NDArray[np.float64], ind: NDArray[np.int64], cat: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values at each slot's class and pixel: [B, C, H, W] to [B, M]."""
    flat = values.reshape(*values.shape[:2], -1)
    return flat[np.arange(len(flat))[:, None], cat, ind]
