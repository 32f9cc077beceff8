"""FocalLoss as PyTorch trains it, on the activated heatmap.

Source: CenterNet `src/lib/models/losses.py`, `_neg_loss`.
"""

__all__ = ["FocalLoss"]

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FocalLoss(nn.Module):
    """Positives where the target is exactly 1, negatives below, divided by the number of positives."""

    def forward(self, out: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
        """Return −(pos + neg)/n, or −neg where n, the number of pixels with target 1, is 0.

        Args:
            out: Activated heatmap, inside (0, 1).
            target: Target heatmap in [0, 1].
        """
        positives, negatives = target.eq(1).to(out.dtype), target.lt(1).to(out.dtype)
        pos_loss = (torch.log(out) * torch.pow(1 - out, 2) * positives).sum()
        neg_loss = (torch.log(1 - out) * torch.pow(out, 2) * torch.pow(1 - target, 4) * negatives).sum()
        num_pos = positives.sum()
        if num_pos == 0:
            return -neg_loss
        return -(pos_loss + neg_loss) / num_pos
