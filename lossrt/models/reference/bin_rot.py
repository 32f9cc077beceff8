"""BinRotLoss as PyTorch trains it: two overlapping bins of the orientation, each a class and a residual angle.

Source: CenterTrack `src/lib/model/losses.py`, `compute_rot_loss`.
"""

__all__ = ["BinRotLoss"]

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat


class BinRotLoss(nn.Module):
    """Mean cross-entropy of both bins over all rows, and mean smooth-L1 of sine and cosine over the rows in a bin."""

    def forward(
        self,
        output: Float[Tensor, "B 8 H W"],
        mask: Float[Tensor, "B M"],
        ind: Int64[Tensor, "B M"],
        rotbin: Int64[Tensor, "B M 2"],
        rotres: Float[Tensor, "B M 2"],
    ) -> Float[Tensor, ""]:
        """Return the sum of the bins' losses; a row without object still adds ln 2 to the cross-entropies' sums.

        Args:
            output: For each bin two logits, then sine and cosine of the residual.
            mask: 1 where a slot's orientation is known.
            ind: Pixel of each slot, y·W + x.
            rotbin: 1 where the orientation lies in the bin, else 0.
            rotres: Angle from the bin's centre, rad.
        """
        rows = transpose_and_gather_feat(output, ind).view(-1, 8)
        bins, angles, known = rotbin.view(-1, 2), rotres.view(-1, 2), mask.view(-1, 1)
        loss = _bin_loss(rows[:, 0:2], bins[:, 0], known) + _bin_loss(rows[:, 4:6], bins[:, 1], known)
        residual = torch.zeros_like(loss)
        for number in range(2):
            inside = bins[:, number].nonzero()
            if inside.shape[0] > 0:
                chosen = inside[:, 0]
                pred, angle = rows.index_select(0, chosen), angles.index_select(0, chosen)[:, number]
                sine, cosine = pred[:, 4 * number + 2], pred[:, 4 * number + 3]
                residual = residual + functional.smooth_l1_loss(sine, torch.sin(angle))
                residual = residual + functional.smooth_l1_loss(cosine, torch.cos(angle))
        return loss + residual


def _bin_loss(
    logits: Float[Tensor, "R 2"], target: Int64[Tensor, " R"], mask: Float[Tensor, "R 1"]
) -> Float[Tensor, ""]:
    return functional.cross_entropy(logits * mask.expand_as(logits), target)
