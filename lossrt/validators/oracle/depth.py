"""The depth that a raw `dep` head stands for, in float64.

Source of the formula: `_sigmoid_output` of CenterTrack (`src/lib/trainer.py`).
"""

__all__ = ["EPSILON", "depth_of"]

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-6
"""What upstream adds to the sigmoid; it bounds the depth by 1e6 m."""


def depth_of(logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 1 / (σ(x) + 1e-6) − 1 and what its rounding is measured by.

    The value is computed as (σ(−x) − 1e-6) / (σ(x) + 1e-6), which cancels nothing. The measure is that of the formula
    as upstream writes it: both parts of the difference, and the quotient once more for the rounding of the
    exponential's argument, which it magnifies |x|·σ'(x)/(σ(x) + 1e-6) times.

    Args:
        logits: x, any shape.

    Returns:
        Depth in m and Σ|parts| in m, same shape.
    """
    with np.errstate(invalid="ignore"):
        sigmoid, rest = (np.exp(-np.logaddexp(0, sign * logits)) for sign in (-1, 1))
        quotient = 1 / (sigmoid + EPSILON)
        sensitivity = np.where(np.isfinite(logits), np.abs(logits) * sigmoid * rest * quotient, 0.0)
        return (rest - EPSILON) * quotient, quotient * (1 + sensitivity) + 1
