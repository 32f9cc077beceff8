"""An activated heatmap in float64: probabilities and their logarithms, each at its own full precision.

Source of the formula: `_sigmoid` of CenterTrack (`src/lib/model/utils.py`): sigmoid, then clamp.
"""

__all__ = ["CLAMP", "Heatmap", "heatmap_of"]

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
