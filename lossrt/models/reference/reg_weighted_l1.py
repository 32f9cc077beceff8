"""RegWeightedL1Loss as PyTorch trains it.

Source: CenterTrack `src/lib/model/losses.py`.
"""

__all__ = ["RegWeightedL1Loss"]

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat


class RegWeightedL1Loss(nn.Module):
    """Masked L1 distance over the gathered pixels, divided by the number of masked-in elements."""

    def forward(
        self,
        output: Float[Tensor, "B D H W"],
        mask: Float[Tensor, "B M D"],
        ind: Int64[Tensor, "B M"],
        target: Float[Tensor, "B M D"],
    ) -> Float[Tensor, ""]:
        """Return Σ|output·mask − target·mask| / (Σmask + 1e-4), in the unit of the head."""
        pred = transpose_and_gather_feat(output, ind)
        return functional.l1_loss(pred * mask, target * mask, reduction="sum") / (mask.sum() + 1e-4)
