"""NormRegL1Loss as PyTorch trains it.

Source: CenterNet `src/lib/models/losses.py`.
"""

__all__ = ["NormRegL1Loss"]

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat


class NormRegL1Loss(nn.Module):
    """Distance relative to the target over the gathered pixels, divided by the number of elements of the objects."""

    def forward(
        self,
        output: Float[Tensor, "B D H W"],
        mask: Float[Tensor, "B M"],
        ind: Int64[Tensor, "B M"],
        target: Float[Tensor, "B M D"],
    ) -> Float[Tensor, ""]:
        """Return Σ|output/(target + 1e-4)·mask − mask| / (D·Σmask + 1e-4), a ratio."""
        pred = transpose_and_gather_feat(output, ind)
        expanded = mask.unsqueeze(2).expand_as(pred)
        ratio = pred / (target + 1e-4)
        # Upstream makes its ones from the target, so that a target that is not finite gives NaN.
        one = torch.mul(target, 0) + 1
        return functional.l1_loss(ratio * expanded, one * expanded, reduction="sum") / (expanded.sum() + 1e-4)
