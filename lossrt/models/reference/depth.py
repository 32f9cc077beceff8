"""The depth of a raw `dep` head as PyTorch trains it.

Source: CenterTrack `src/lib/trainer.py`, `_sigmoid_output`.
"""

__all__ = ["depth_from_logits"]

import torch
from jaxtyping import Float
from torch import Tensor


def depth_from_logits(logits: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Return 1 / (σ + 1e-6) − 1 in m. Upstream puts it into the outputs' place; here the caller's stay."""
    return 1.0 / (torch.sigmoid(logits) + 1e-6) - 1.0
