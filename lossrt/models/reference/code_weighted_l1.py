"""CenterPoint's RegLoss as PyTorch trains it: one loss for each channel of the box.

Source: CenterPoint `det3d/models/losses/centernet_loss.py`.
"""

__all__ = ["ChannelRegLoss"]

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat


class ChannelRegLoss(nn.Module):
    """Masked L1 distance of each channel, divided by the number of objects."""

    def forward(
        self,
        output: Float[Tensor, "B D H W"],
        mask: Float[Tensor, "B M"],
        ind: Int64[Tensor, "B M"],
        target: Float[Tensor, "B M D"],
    ) -> Float[Tensor, " D"]:
        """Return Σ|output·mask − target·mask| / (Σmask + 1e-4) over images and slots, each channel in its unit."""
        pred = transpose_and_gather_feat(output, ind)
        weights = mask.unsqueeze(2)
        distance = functional.l1_loss(pred * weights, target * weights, reduction="none") / (weights.sum() + 1e-4)
        return distance.transpose(2, 0).sum(dim=2).sum(dim=1)
