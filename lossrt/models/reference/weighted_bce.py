"""WeightedBCELoss as PyTorch trains it.

Source: CenterTrack `src/lib/model/losses.py`.
"""

__all__ = ["WeightedBCELoss"]

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat


class WeightedBCELoss(nn.Module):
    """Masked binary cross-entropy with logits over the gathered pixels."""

    def forward(
        self,
        output: Float[Tensor, "B F H W"],
        mask: Float[Tensor, "B M F"],
        ind: Int64[Tensor, "B M"],
        target: Float[Tensor, "B M F"],
    ) -> Float[Tensor, ""]:
        """Return Σ mask·bce(output, target) / (Σmask + 1e-4), in nats."""
        pred = transpose_and_gather_feat(output, ind)
        loss = mask * functional.binary_cross_entropy_with_logits(pred, target, reduction="none")
        return loss.sum() / (mask.sum() + 1e-4)
