"""Gradients of the cross-entropies at the objects, orientations and identities, in float64.

Sources of the formulas: derivatives of those in `bin_rot` and `identity`, by hand.
"""

__all__ = ["bin_rot_gradient", "identity_gradient"]

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.bin_rot import BINS, FIELDS
from lossrt.validators.oracle.gather import gathered
from lossrt.validators.oracle.gradients_slots import Floats, placed
from lossrt.validators.oracle.identity import NO_IDENTITY, SMALLEST_NORM


def bin_rot_gradient(
    pred: NDArray[Any],
    mask: NDArray[Any],
    ind: NDArray[np.int64],
    rotbin: NDArray[np.int64],
    rotres: NDArray[Any],
) -> Estimate:
    """Estimate the gradient of `lossrt.validators.oracle.bin_rot.bin_rot` for the prediction.

    Args:
        pred: Predicted map, [B, 8, H, W].
        mask: 1 where a slot's orientation is known, [B, M].
        ind: Pixel index of each slot, [B, M].
        rotbin: 1 where the orientation lies in the bin, else 0, [B, M, 2].
        rotres: Angle from the bin's centre, rad, [B, M, 2].
    """
    with np.errstate(all="ignore"):
        rows = gathered(pred, ind)
        known, angles = mask.astype(np.float64)[:, :, None], rotres.astype(np.float64)
        slopes, sizes = np.zeros((2, *rows.shape))
        for number in range(BINS):
            first = FIELDS * number
            member = rotbin[:, :, number] != 0
            classes, fields = slice(first, first + 2), slice(first + 2, first + FIELDS)
            slope, size = _two_way(rows[:, :, classes] * known, rotbin[:, :, number])
            slopes[:, :, classes] = slope * known / mask.size
            sizes[:, :, classes] = np.abs(size * known) / mask.size
            wanted = np.stack([np.sin(angles[:, :, number]), np.cos(angles[:, :, number])], axis=2)
            residual = np.clip(rows[:, :, fields] - wanted, -1, 1) / max(int(member.sum()), 1)
            slopes[:, :, fields] = np.where(member[:, :, None], residual, 0.0)
            # A sine's error is absolute: it does not get smaller near its zeros.
            one = 1 / max(int(member.sum()), 1)
            sizes[:, :, fields] = np.where(member[:, :, None], np.abs(residual) + one, 0.0)
    return placed(slopes, sizes, ind, pred)


def _two_way(logits: Floats, target: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return softmax − one-hot of two logits and its size, [B, M, 2]."""
    swapped = logits[:, :, ::-1]
    share = np.exp(-np.logaddexp(0, swapped - logits))
    hot = target[:, :, None] == np.arange(2)
    slope = np.where(hot, -share[:, :, ::-1], share)
    rounded = share * share[:, :, ::-1] * (np.abs(logits) + np.abs(swapped))
    return slope, np.abs(slope) + rounded + np.where(np.abs(slope) > 0.5, 1.0, 0.0)


def identity_gradient(
    pred: NDArray[Any],
    mask: NDArray[Any],
    ind: NDArray[np.int64],
    ids: NDArray[np.int64],
    weight: NDArray[Any],
    bias: NDArray[Any],
) -> Estimate:
    """Estimate the gradient of `lossrt.validators.oracle.identity.identity` for the prediction.

    Without an object that has an identity the loss is NaN, but no element of the prediction was read: 0, as in PyTorch.

    Args:
        pred: Predicted embedding x, [B, E, H, W].
        mask: > 0 where a slot holds an object, [B, M].
        ind: Pixel index of each slot, [B, M].
        ids: Identity of each slot in [0, N), or −1, [B, M].
        weight: W of the classifier, [N, E].
        bias: b of the classifier, [N].
    """
    chosen = (mask > 0) & (ids != NO_IDENTITY)
    slopes, sizes = np.zeros((2, *ind.shape, pred.shape[1]))
    if chosen.any():
        with np.errstate(all="ignore"):
            rows = gathered(pred, ind)[chosen]
            slopes[chosen], sizes[chosen] = _embedding(rows, ids[chosen], weight, bias)
    return placed(slopes, sizes, ind, pred, terms=sum(weight.shape))


def _embedding(rows: Floats, ids: NDArray[np.int64], weight: NDArray[Any], bias: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return the gradient of the mean cross-entropy for the embeddings of K objects, and its size, [K, E] each."""
    w, b = weight.astype(np.float64), bias.astype(np.float64)
    scale = math.sqrt(2) * math.log(len(w) - 1)
    norms = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    clamped = np.maximum(norms, SMALLEST_NORM)
    unit = rows / clamped
    logits = scale * unit @ w.T + b
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    own = np.abs(scale * unit) @ np.abs(w).T + np.abs(b)
    hot = ids[:, None] == np.arange(len(w))
    slope = shares - hot
    # A softmax's rounding is that of its logits, each its own and all of them through the sum.
    size = shares * (1 + own + (shares * own).sum(axis=1, keepdims=True)) + hot
    inner, inner_size = slope @ w, size @ np.abs(w)
    # A norm below the smallest is a constant.
    free = norms >= SMALLEST_NORM
    along = (inner * unit).sum(axis=1, keepdims=True) * free
    along_size = (inner_size * np.abs(unit)).sum(axis=1, keepdims=True) * free
    factor = scale / clamped / len(rows)
    return factor * (inner - along * unit), factor * (inner_size + along_size * np.abs(unit))
