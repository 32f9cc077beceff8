"""An activated heatmap in float64: probabilities and their logarithms, each at its own full precision.

Source of the formula: `_sigmoid` of CenterTrack (`src/lib/model/utils.py`): sigmoid, then clamp.
"""

__all__ = ["CLAMP", "Heatmap", "heatmap_of", "scale_of"]

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLAMP = 1e-4
"""Upstream clamps the activated heatmap to [CLAMP, 1 − CLAMP]."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """p, 1 − p and their logarithms, each [B, C, H, W]."""

    p: NDArray[np.float64]
    rest: NDArray[np.float64]
    log_p: NDArray[np.float64]
    log_rest: NDArray[np.float64]


def heatmap_of(pred: NDArray[Any], *, applied: bool) -> Heatmap:
    """Return the heatmap that a prediction stands for.

    Args:
        pred: [B, C, H, W]: logits, or probabilities where `applied`.
        applied: The network has activated and clamped it already; nothing is clamped here then.
    """
    if applied:
        p = pred.astype(np.float64)
        return Heatmap(p=p, rest=1 - p, log_p=np.log(p), log_rest=np.log1p(-p))
    # log σ(x) = −log(1 + e⁻ˣ) and 1 − σ(x) = σ(−x) stay exact at any x.
    x = pred.astype(np.float64)
    low, high = np.log(CLAMP), np.log1p(-CLAMP)
    log_p, log_rest = (np.clip(-np.logaddexp(0, sign * x), low, high) for sign in (-1, 1))
    return Heatmap(p=np.exp(log_p), rest=np.exp(log_rest), log_p=log_p, log_rest=log_rest)


def scale_of(
    terms_of: Iterable[NDArray[np.float64]], factors: Iterable[NDArray[np.float64]], *, terms: int
) -> np.float64:
    """Return the scale of sums of terms log(·)·factor.

    A logarithm's argument near 1 is rounded by one unit of roundoff u, whatever the logarithm's own size, and at equal
    pixels always to the same side: that adds u·Σ|factor| to the error. The tolerance multiplies the scale by √terms·u,
    which would be too much for it, so it counts for 1/√terms of its size.

    Args:
        terms_of: The terms of each sum.
        factors: Their factors beside the logarithm, same shapes.
        terms: Number of terms in all.
    """
    rounded = sum(np.abs(factor).sum() for factor in factors)
    return np.float64(sum(np.abs(values).sum() for values in terms_of) + rounded / math.sqrt(terms))
