"""From the logit of a depth head to a depth.

Source: CenterTrack `src/lib/trainer.py`, _sigmoid_output.
"""

__all__ = ["DEPTH_EPSILON", "depth"]

import torch
from torch import Tensor

DEPTH_EPSILON = 1e-6
# exp stays finite in float32; below this logit the depth is 1/DEPTH_EPSILON − 1 to the last digit.
DEPTH_LOGIT = 80.0


def depth(logit: Tensor) -> Tensor:
    """Return 1/(σ(x) + 1e-6) − 1, m, as (E − ε(1+E)) / (1 + ε(1+E)) with E = exp(−x), ε = 1e-6.

    Nothing cancels, where the plain form loses every digit of a small depth; and no sigmoid, whose tail runtimes round
    to an absolute error.
    """
    # Where a gradient is asked for, by selection: clamp has none at NaN, where upstream's sigmoid has NaN.
    exponent = (
        torch.where(logit < -DEPTH_LOGIT, DEPTH_LOGIT, -logit)
        if logit.requires_grad
        else (-logit).clamp(max=DEPTH_LOGIT)
    )
    inverse_odds = exponent.exp()
    small = (inverse_odds + 1) * DEPTH_EPSILON
    return (inverse_odds - small) / (small + 1)
