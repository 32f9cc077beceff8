"""CenterTrack's BinRotLoss on the observation angle, in static form: no nonzero, no index_select.

Source: CenterTrack `src/lib/model/losses.py`, BinRotLoss, after Mousavian et al. (arXiv 1612.00496).
"""

__all__ = ["BinRot"]

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lossrt.models.head_loss import HeadLoss, gather_rows, index_spec
from lossrt.models.object_l1 import smooth_l1
from lossrt.spec import TensorSpec

# First column of each bin: two logits, then sine and cosine of the angle within the bin.
BINS = (0, 4)


class BinRot(HeadLoss):
    """Two bins; for each the mean cross-entropy over all slots, and the mean smooth-L1 of (sin, cos) over its own slots.

    The logits are multiplied by the mask, so that each empty slot adds ln 2, as upstream. The residual counts where
    `rotbin` is not 0, whatever the mask says, and is 0 where no slot is in the bin.
    """

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the index, the mask, the bins and the angles within them."""
        return (
            index_spec(self.head),
            TensorSpec("rot_mask", "float32", ("B", "M"), "target", 0, 1),
            TensorSpec("rotbin", "int64", ("B", "M", 2), "target", 0, 2),
            TensorSpec("rotres", "float32", ("B", "M", 2), "target", unit="rad"),
        )

    def blocks(self, prediction: Tensor, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return, for both bins together, the cross-entropies, and for each its residuals and its slots."""
        rows = gather_rows(prediction, tensors["ind"], tensors["ind"].shape[1])
        columns = torch.split(rows, 1, dim=1)
        mask = tensors["rot_mask"].unsqueeze(1)
        entropies, residuals = [], []
        for bin_, first in enumerate(BINS):
            member = (tensors["rotbin"][:, :, bin_] != 0).unsqueeze(1)
            angle = tensors["rotres"][:, :, bin_].unsqueeze(1)
            entropies.append(_entropy(columns[first] * mask, columns[first + 1] * mask, member))
            # Select, do not multiply, and before anything is computed: upstream never reads the other slots, whose
            # gradient is 0 even where the prediction is not finite.
            sine = torch.where(member, columns[first + 2] - angle.sin(), 0.0)
            cosine = torch.where(member, columns[first + 3] - angle.cos(), 0.0)
            residuals += [smooth_l1(sine) + smooth_l1(cosine), member.to(sine.dtype)]
        return torch.cat(entropies, dim=1), *residuals

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide the cross-entropies by the number of slots, the residuals by their bins' slots."""
        batch, slots = tensors["ind"].shape
        entropy, first, first_count, second, second_count = sums
        residual = first / first_count.clamp(min=1) + second / second_count.clamp(min=1)
        return {"": entropy / (batch * slots) + residual}


def _entropy(outside: Tensor, inside: Tensor, member: Tensor) -> Tensor:
    """Two-way cross-entropy log(1 + exp(d)), d = the wrong logit minus the right one, without overflow."""
    d = torch.where(member, outside - inside, inside - outside)
    # maximum, not clamp: its slope at 0 is ½, as that of the whole is.
    return torch.maximum(d, torch.zeros_like(d)) + (1 + (-d.abs()).exp()).log()
