"""The odds of a clamped probability: what every focal loss here is computed from."""

__all__ = ["ODDS_MAX", "ODDS_MIN", "odds"]

from torch import Tensor

# p/(1−p) at upstream's clamp of the probability, p = 1e-4 and p = 1 − 1e-4.
ODDS_MIN = 1e-4 / (1 - 1e-4)
ODDS_MAX = (1 - 1e-4) / 1e-4


def odds(logit: Tensor) -> Tensor:
    """Return e = p/(1−p) = exp(logit), clamped where upstream clamps p.

    No gradient outside the clamp, as upstream; finite and relatively exact in any float type, where 1 − p is neither.
    Source of the clamp: CenterTrack `src/lib/model/utils.py`, _sigmoid.
    """
    return logit.exp().clamp(ODDS_MIN, ODDS_MAX)
