"""Weighted sums of estimates: values add up, scales add up in size, and rounding errors with them."""

__all__ = ["weighted_sum"]

import math
from collections.abc import Iterable, Sequence

import numpy as np

from lossrt.spec import Estimate

# Below this scale flushing subnormal terms may cost more than rounding, and then every term counts.
_FLUSHED = 2.0**-90


def weighted_sum(parts: Iterable[tuple[float, Estimate]]) -> Estimate:
    """Return Σ weight·part.

    A part's rounding error grows as √terms·scale, so that of the sum is at most that of one sum of the same scale with
    (Σ|weight|·√terms·scale / Σ|weight|·scale)² terms. That many are reported: the many terms of a part with a small
    scale, such as a heatmap where next to nothing is wrong, do not widen the tolerance of the others.

    Args:
        parts: Weights and estimates of one shape; at least one.
    """
    parts = list(parts)
    with np.errstate(invalid="ignore", over="ignore"):
        return Estimate(
            value=np.asarray(sum(weight * part.value for weight, part in parts)),
            scale=np.asarray(sum(abs(weight) * part.scale for weight, part in parts)),
            terms=_terms(parts),
        )


def _terms(parts: Sequence[tuple[float, Estimate]]) -> int:
    scales = [np.abs(weight) * part.scale for weight, part in parts]
    total = np.asarray(sum(scales))
    everything = sum(part.terms for _, part in parts)
    if not np.all(np.isfinite(total)) or np.any(total < _FLUSHED):
        return everything
    growth = sum(math.sqrt(part.terms) * scale for scale, (_, part) in zip(scales, parts, strict=True))
    # Rounding may not make 12.000000001 of 12.
    return min(everything, math.ceil(float(np.max((growth / total) ** 2)) * (1 - 1e-12)))
