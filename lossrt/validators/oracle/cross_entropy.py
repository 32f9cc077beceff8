"""Cross-entropy of rows of logits in float64, with what its rounding is measured by."""

__all__ = ["cross_entropy"]

import numpy as np
from numpy.typing import NDArray


def cross_entropy(
    logits: NDArray[np.float64], own: NDArray[np.float64], target: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return −log softmax(logits) at each row's target, and Σ|parts| of it.

    The parts are the logit, the largest logit and the logarithm of the sum of exponentials; to them comes the logits'
    own rounding, that of the target's logit and the mean over the softmax for the others. A logit of +∞ makes its row
    NaN, as in PyTorch, which subtracts the largest first.

    Args:
        logits: [R, N].
        own: What the rounding of each logit is measured by, [R, N]; 0 where it is read as it lies.
        target: Class of each row, [R].

    Returns:
        Cross-entropy in nats and its measure, [R] each.
    """
    top = logits.max(axis=1, keepdims=True)
    shifted = logits - top
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1)
    rows = np.arange(len(logits))
    parts = np.abs(logits[rows, target]) + np.abs(top[:, 0]) + np.log(total)
    spread = (exponentials * own).sum(axis=1) / total
    return np.log(total) - shifted[rows, target], parts + own[rows, target] + spread
