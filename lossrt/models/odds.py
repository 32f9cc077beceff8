"""The odds of a clamped probability: what every focal loss here is computed from."""

__all__ = ["LOGIT_MAX", "LOGIT_MIN", "inverse_probability", "odds", "times_probability"]

import math

import torch
from torch import Tensor

# ln(p/(1−p)) at upstream's clamp of the probability, p = 1e-4 and p = 1 − 1e-4: ±9.2102.
LOGIT_MAX = math.log((1 - 1e-4) / 1e-4)
LOGIT_MIN = -LOGIT_MAX


def odds(logit: Tensor) -> Tensor:
    """Return e = p/(1−p) = exp(logit), clamped where upstream clamps p.

    Clamped before exp, which then never overflows: no gradient outside the clamp, as upstream, for any logit; finite and
    relatively exact in any float type, where 1 − p is neither.
    Source of the clamp: CenterTrack `src/lib/model/utils.py`, _sigmoid.
    """
    if logit.requires_grad:
        # The same by selection: clamp has no gradient at NaN, where upstream's sigmoid has NaN.
        return torch.where(logit < LOGIT_MIN, LOGIT_MIN, torch.where(logit > LOGIT_MAX, LOGIT_MAX, logit)).exp()
    return logit.clamp(LOGIT_MIN, LOGIT_MAX).exp()


def inverse_probability(e: Tensor) -> Tensor:
    """Return 1/p = (1 + e)/e.

    The slope of the quotient is a difference that cancels where p is near 1; that of 1 + 1/e, the same but for a rounding
    error, is a product.
    """
    return 1 / e + 1 if e.requires_grad else (e + 1) / e


def times_probability(factor: Tensor, e: Tensor) -> Tensor:
    """Return factor·p, p = e/(1 + e), in the form whose slope loses no digit where one is asked for."""
    return factor / inverse_probability(e) if e.requires_grad else factor * e / (e + 1)
