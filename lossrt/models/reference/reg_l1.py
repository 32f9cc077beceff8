"""RegL1Loss as PyTorch trains it.

Source: CenterNet `src/lib/models/losses.py`.
"""

__all__ = ["RegL1Loss"]

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat


class RegL1Loss(nn.Module):
    """Masked L1 distance over the gathered pixels, divided by the number of elements of the objects."""

    def forward(
        self,
        output: Float[Tensor, "B D H W"],
        mask: Float[Tensor, "B M"],
        ind: Int64[Tensor, "B M"],
        target: Float[Tensor, "B M D"],
    ) -> Float[Tensor, ""]:
        """Return Σ|output·mask − target·mask| / (D·Σmask + 1e-4), in the unit of the head."""
        pred = transpose_and_gather_feat(output, ind)
        expanded = mask.unsqueeze(2).expand_as(pred)
        return functional.l1_loss(pred * expanded, target * expanded, reduction="sum") / (expanded.sum() + 1e-4)
