"""CenterTrack's RegWeightedL1Loss: masked L1 distance at the objects' pixels, in export-friendly operators.

Source: CenterTrack `src/lib/model/losses.py`, RegWeightedL1Loss.
"""

__all__ = ["RegWeightedL1"]

from collections.abc import Mapping, Sequence

from torch import Tensor

from lossrt.models.head_loss import HeadLoss, index_spec
from lossrt.recipe import HEADS
from lossrt.spec import TensorSpec

EPSILON = 1e-4


class RegWeightedL1(HeadLoss):
    """Σ|pred·m − target·m| / (Σm + 1e-4) over slots and channels, m the mask of shape [B, S, D].

    The mask multiplies, as upstream: NaN under a mask of 0 stays NaN.
    """

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the index, the target and its mask."""
        head = HEADS[self.head]
        dims = ("B", head.slots, self.recipe.heads[self.head])
        target = TensorSpec(self.head, "float32", dims, "target", unit=head.unit)
        return index_spec(self.head), target, TensorSpec(f"{self.head}_mask", "float32", dims, "target", 0, 1)

    def blocks(self, prediction: Tensor, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the terms |pred·m − target·m| and m as rows of M."""
        slots = tensors["ind"].shape[1]
        pred = self.gathered(prediction, tensors)
        mask = _rows(tensors[f"{self.head}_mask"], slots)
        return (pred * mask - _rows(tensors[self.head], slots) * mask).abs(), mask

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide by the number of masked-in elements; with none, 0 / 1e-4 is exactly 0."""
        del tensors
        total, count = sums
        return {"": total / (count + EPSILON)}

    def constants(self) -> tuple[float, ...]:
        """Return the epsilons."""
        return (EPSILON, *super().constants())


def _rows(values_BSD: Tensor, slots: int) -> Tensor:
    """[B, S, D] → rows of M, in the order of `gather_rows`."""
    return values_BSD.transpose(1, 2).reshape(values_BSD.shape[0], -1, slots)
