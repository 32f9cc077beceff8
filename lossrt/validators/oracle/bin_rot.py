"""CenterTrack's loss on orientations in float64: two overlapping bins, each a class and a residual angle.

Source of the formula: `BinRotLoss` and `compute_rot_loss` of CenterTrack (`src/lib/model/losses.py`).
"""

__all__ = ["bin_rot"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.cross_entropy import cross_entropy
from lossrt.validators.oracle.gather import gathered
from lossrt.validators.oracle.smooth_l1 import penalty_of
from lossrt.validators.oracle.sums import weighted_sum

BINS = 2
FIELDS = 4  # of a bin: two logits, sine, cosine


def bin_rot(
    pred: NDArray[Any],
    mask: NDArray[Any],
    ind: NDArray[np.int64],
    rotbin: NDArray[np.int64],
    rotres: NDArray[Any],
) -> Estimate:
    """Estimate, for both bins, the mean cross-entropy and the mean residual.

    The logits are multiplied by the mask and averaged over all B·M rows, so that an empty slot adds ln 2 (or
    NaN, where the prediction is not finite). The residuals are averaged over the rows whose `rotbin` is not 0, masked or
    not; a bin without such a row adds 0.

    Args:
        pred: Predicted map, [B, 8, H, W]; for each bin two logits, then sine and cosine of the residual.
        mask: 1 where a slot's orientation is known, [B, M].
        ind: Pixel index of each slot, [B, M].
        rotbin: 1 where the orientation lies in the bin, else 0, [B, M, 2].
        rotres: Angle from the bin's centre, rad, [B, M, 2].

    Returns:
        Scalar loss; terms: at most 2·3·B·M.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        rows = gathered(pred, ind).reshape(-1, BINS * FIELDS)
        known = mask.astype(np.float64).reshape(-1, 1)
        classes, angles = rotbin.reshape(-1, BINS), rotres.astype(np.float64).reshape(-1, BINS)
        parts = []
        for number, fields in enumerate(np.split(rows, BINS, axis=1)):
            chosen = classes[:, number] != 0
            parts.append((1.0, _class_loss(fields[:, :2] * known, classes[:, number])))
            parts.append((1.0, _residual_loss(fields[:, 2:], angles[:, number], chosen)))
        return weighted_sum(parts)


def _class_loss(logits: NDArray[np.float64], target: NDArray[np.int64]) -> Estimate:
    values, parts = cross_entropy(logits, np.zeros_like(logits), target)
    return Estimate(value=np.asarray(values.mean()), scale=np.asarray(parts.mean()), terms=len(target))


def _residual_loss(pred: NDArray[np.float64], angle: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Estimate:
    """Average smooth-L1 over the chosen rows, for sine and cosine each; what is not chosen is not read."""
    if not chosen.any():
        return Estimate(value=np.zeros(()), scale=np.zeros(()), terms=2 * len(chosen))
    wanted = np.stack([np.sin(angle[chosen]), np.cos(angle[chosen])], axis=1)
    # A sine's error is absolute: it does not get smaller near its zeros.
    values, parts = penalty_of(np.abs(pred[chosen] - wanted), np.ones_like(wanted))
    rows = len(wanted)
    return Estimate(value=np.asarray(values.sum() / rows), scale=np.asarray(parts.sum() / rows), terms=2 * len(chosen))
