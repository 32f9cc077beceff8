"""L1Loss as PyTorch trains it.

Source: CenterNet `src/lib/models/losses.py`.
"""

__all__ = ["L1Loss"]

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat


class L1Loss(nn.Module):
    """Masked L1 distance, averaged over every slot, empty ones included."""

    def forward(
        self,
        output: Float[Tensor, "B D H W"],
        mask: Float[Tensor, "B M"],
        ind: Int64[Tensor, "B M"],
        target: Float[Tensor, "B M D"],
    ) -> Float[Tensor, ""]:
        """Return the mean of |output·mask − target·mask|, in the unit of the head."""
        pred = transpose_and_gather_feat(output, ind)
        expanded = mask.unsqueeze(2).expand_as(pred)
        return functional.l1_loss(pred * expanded, target * expanded, reduction="mean")
