"""FairMOT's identity loss as PyTorch trains it, the classifier's weights given as tensors.

Source: FairMOT `src/lib/trains/mot.py`, MotLoss.
"""

__all__ = ["IdentityLoss"]

import math

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat


class IdentityLoss(nn.Module):
    """Cross-entropy of a linear classifier on the objects' embeddings, brought to one length first."""

    def forward(
        self,
        output: Float[Tensor, "B E H W"],
        mask: Float[Tensor, "B M"],
        ind: Int64[Tensor, "B M"],
        ids: Int64[Tensor, "B M"],
        weight: Float[Tensor, "N E"],
        bias: Float[Tensor, " N"],
    ) -> Float[Tensor, ""]:
        """Return the mean over the objects whose identity is known, in nats; NaN where there is none.

        Args:
            output: Embeddings.
            mask: > 0 where a slot holds an object.
            ind: Pixel of each slot, y·W + x.
            ids: Identity in [0, N), or −1 where it is unknown.
            weight: The classifier's weight.
            bias: The classifier's bias.
        """
        embedding = transpose_and_gather_feat(output, ind)[mask > 0].contiguous()
        scale = math.sqrt(2) * math.log(weight.shape[0] - 1)
        logits = functional.linear(scale * functional.normalize(embedding), weight, bias)
        return functional.cross_entropy(logits, ids[mask > 0], ignore_index=-1)
