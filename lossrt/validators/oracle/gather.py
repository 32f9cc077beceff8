"""The gather in float64: the feature vectors at the M indexed pixels of each image."""

__all__ = ["gather_feat", "gathered"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate


def gathered(feat: NDArray[Any], ind: NDArray[np.int64]) -> NDArray[np.float64]:
    """Read the feature vectors at the indexed pixels.

    Args:
        feat: Feature map, [B, D, H, W].
        ind: Row-major pixel indices y·W + x, [B, M]; in [0, H·W), which `lossrt.spec.check_arrays` checks.

    Returns:
        [B, M, D] in the map's unit.
    """
    flat = feat.reshape(*feat.shape[:2], -1)
    return np.take_along_axis(flat, ind[:, None, :], axis=2).transpose(0, 2, 1).astype(np.float64, order="C")


def gather_feat(feat: NDArray[Any], ind: NDArray[np.int64]) -> Estimate:
    """Estimate the gather: a copy, so one term an element, and each its own scale.

    Args:
        feat: Feature map, [B, D, H, W].
        ind: Pixel indices, [B, M].

    Returns:
        Value and scale [B, M, D] in the map's unit.
    """
    value = gathered(feat, ind)
    return Estimate(value=value, scale=np.abs(value), terms=1)
