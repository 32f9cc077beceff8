"""FairMOT's identity loss in float64: which track is the object?

Source of the formula: `MotLoss` of FairMOT (`src/lib/trains/mot.py`).
"""

__all__ = ["NO_IDENTITY", "identity"]

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.oracle.cross_entropy import cross_entropy
from lossrt.validators.oracle.gather import gathered

NO_IDENTITY = -1
"""Identity of an object whose track is unknown: it is not counted."""
SMALLEST_NORM = 1e-12


def identity(
    pred: NDArray[Any],
    mask: NDArray[Any],
    ind: NDArray[np.int64],
    ids: NDArray[np.int64],
    weight: NDArray[Any],
    bias: NDArray[Any],
) -> Estimate:
    """Estimate the mean cross-entropy of W·(√2·ln(N − 1)·x/max(‖x‖, 1e-12)) + b over the objects with an identity.

    Objects are selected, so that what lies at other slots does not matter. A logit's rounding is measured by the size
    of its products; the sums over E products, N classes and B·M slots follow one another, so their lengths add up.

    Args:
        pred: Predicted embedding x, [B, E, H, W].
        mask: > 0 where a slot holds an object, [B, M].
        ind: Pixel index of each slot, [B, M].
        ids: Identity of each slot in [0, N), or −1, [B, M].
        weight: W of the classifier, [N, E].
        bias: b of the classifier, [N].

    Returns:
        Scalar loss in nats; NaN where no slot counts, as PyTorch's mean over nothing; terms: B·M + N + E.
    """
    classes, channels = weight.shape
    chosen = (mask > 0) & (ids != NO_IDENTITY)
    terms = mask.size + classes + channels
    if not chosen.any():
        return Estimate(value=np.asarray(math.nan), scale=np.asarray(math.nan), terms=terms)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rows = gathered(pred, ind)[chosen]
        norms = np.maximum(np.sqrt((rows**2).sum(axis=1, keepdims=True)), SMALLEST_NORM)
        scaled = math.sqrt(2) * math.log(classes - 1) * rows / norms
        w, b = weight.astype(np.float64), bias.astype(np.float64)
        sizes = np.abs(scaled) @ np.abs(w).T + np.abs(b)
        values, parts = cross_entropy(scaled @ w.T + b, sizes, ids[chosen])
        return Estimate(value=np.asarray(values.mean()), scale=np.asarray(parts.mean()), terms=terms)
