"""CornerNet's focal loss on heatmaps in float64, as CenterNet and FairMOT train `hm`.

Source of the formula: `_neg_loss` of CenterNet (`src/lib/models/losses.py`).
"""

__all__ = ["focal"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.heatmap import heatmap_of, scale_of


def focal(pred: NDArray[Any], target: NDArray[Any], *, applied: bool) -> Estimate:
    """Estimate the loss: −(pos + neg) / n, or −neg where n = 0.

    pos = Σ log(p)·(1 − p)² where t = 1, neg = Σ log(1 − p)·p²·(1 − t)⁴ where t < 1, n = the number of pixels where
    t = 1. Upstream multiplies by 0 and 1 instead of selecting, so NaN and −∞·0 pass through. All terms carry one sign.

    Args:
        pred: Predicted heatmap, [B, C, H, W]: logits, or probabilities where `applied`.
        target: Target heatmap t, [B, C, H, W], in [0, 1].
        applied: The network has activated and clamped the heatmap; nothing is clamped here then.

    Returns:
        Scalar loss; terms: B·C·H·W, since a pixel is positive or negative, never both.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        heat = heatmap_of(pred, applied=applied)
        t = target.astype(np.float64)
        missed, factor = heat.rest**2 * (t == 1), heat.p**2 * (1 - t) ** 4 * (t < 1)
        positive, negative = heat.log_p * missed, heat.log_rest * factor
        count = int(np.count_nonzero(t == 1))
        if count == 0:
            count, positive, missed = 1, np.zeros_like(positive), np.zeros_like(missed)
        value = -(positive.sum() + negative.sum()) / count
        scale = scale_of((positive, negative), (missed, factor), terms=pred.size) / count
    return Estimate(value=np.asarray(value), scale=np.asarray(scale), terms=pred.size)
