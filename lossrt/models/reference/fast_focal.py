"""FastFocalLoss as PyTorch trains it, on the activated heatmap: the baseline of every comparison, never exported.

Source: CenterTrack `src/lib/model/losses.py`; activation from `src/lib/model/utils.py`.
"""

__all__ = ["FastFocalLoss", "activate"]

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lossrt.models.reference.gather import transpose_and_gather_feat


def activate(logits: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Sigmoid, then clamp to [1e-4, 1 − 1e-4]. Upstream overwrites the logits; here the caller's stay."""
    return torch.clamp(torch.sigmoid(logits), min=1e-4, max=1 - 1e-4)


class FastFocalLoss(nn.Module):
    """Negatives over the whole map, positives at the objects' pixels, divided by the number of objects."""

    def forward(
        self,
        out: Float[Tensor, "B C H W"],
        target: Float[Tensor, "B C H W"],
        ind: Int64[Tensor, "B M"],
        mask: Float[Tensor, "B M"],
        cat: Int64[Tensor, "B M"],
    ) -> Float[Tensor, ""]:
        """Return −(pos + neg)/n, or −neg where n = Σ mask is 0.

        Args:
            out: Activated heatmap, inside (0, 1).
            target: Target heatmap in [0, 1].
            ind: Pixel of each slot, y·W + x.
            mask: 1 where a slot holds an object.
            cat: Class of each slot.
        """
        neg_loss = (torch.log(1 - out) * torch.pow(out, 2) * torch.pow(1 - target, 4)).sum()
        pos_pred = transpose_and_gather_feat(out, ind).gather(2, cat.unsqueeze(2))
        pos_loss = (torch.log(pos_pred) * torch.pow(1 - pos_pred, 2) * mask.unsqueeze(2)).sum()
        num_pos = mask.sum()
        if num_pos == 0:
            return -neg_loss
        return -(pos_loss + neg_loss) / num_pos
