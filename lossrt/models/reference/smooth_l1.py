"""RegLoss, the smooth-L1 regression loss, as PyTorch trains it.

Source: CenterNet `src/lib/models/losses.py`, `_reg_loss`.
"""

__all__ = ["RegLoss"]

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat


class RegLoss(nn.Module):
    """Masked smooth-L1 distance over the gathered pixels, divided by the number of objects."""

    def forward(
        self,
        output: Float[Tensor, "B D H W"],
        mask: Float[Tensor, "B M"],
        ind: Int64[Tensor, "B M"],
        target: Float[Tensor, "B M D"],
    ) -> Float[Tensor, ""]:
        """Return Σ smooth_l1(output·mask, target·mask) / (Σmask + 1e-4), quadratic below a distance of 1."""
        pred = transpose_and_gather_feat(output, ind)
        expanded = mask.unsqueeze(2).expand_as(target)
        total = functional.smooth_l1_loss(pred * expanded, target * expanded, reduction="sum")
        return total / (mask.sum() + 1e-4)
