"""Weighted sums of estimates: values add up, scales add up in size, and so do the numbers of terms."""

__all__ = ["weighted_sum"]

from collections.abc import Iterable

import numpy as np

from lossrt.spec import Estimate


def weighted_sum(parts: Iterable[tuple[float, Estimate]]) -> Estimate:
    """Return Σ weight·part.

    Args:
        parts: Weights and estimates of one shape; at least one.
    """
    parts = list(parts)
    with np.errstate(invalid="ignore", over="ignore"):
        return Estimate(
            value=np.asarray(sum(weight * part.value for weight, part in parts)),
            scale=np.asarray(sum(abs(weight) * part.scale for weight, part in parts)),
            terms=sum(part.terms for _, part in parts),
        )
