"""CenterNet's regression losses, whose mask says which slots hold an object, in export-friendly operators.

Source: CenterNet `src/lib/models/losses.py`. One class a loss; they differ in the distance and in the divisor only.
"""

__all__ = ["L1", "NormRegL1", "RegL1", "SmoothL1"]

from collections.abc import Mapping, Sequence

from torch import Tensor

from lossrt.models.head_loss import HeadLoss, index_spec, mask_spec
from lossrt.recipe import HEADS
from lossrt.spec import TensorSpec

EPSILON = 1e-4


class RegL1(HeadLoss):
    """RegL1Loss: Σ|p·m − t·m| / (n·D + 1e-4), m the mask of shape [B, M], n = Σm."""

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the index, the mask and the target."""
        dims = ("B", "M", self.recipe.heads[self.head])
        target = TensorSpec(self.head, "float32", dims, "target", unit=HEADS[self.head].unit)
        return index_spec(self.head), mask_spec(), target

    def blocks(self, prediction: Tensor, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the terms of the distance and of n, as rows of M."""
        pred = self.gathered(prediction, tensors)
        mask = tensors["mask"].unsqueeze(1)
        return self.distance(pred, tensors[self.head].transpose(1, 2), mask), mask

    def distance(self, pred_BDM: Tensor, target_BDM: Tensor, mask_B1M: Tensor) -> Tensor:
        """Return the masked distance of every element."""
        return (pred_BDM * mask_B1M - target_BDM * mask_B1M).abs()

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide by the number of elements of the objects."""
        del tensors
        total, count = sums
        return {"": total / (count * self.recipe.heads[self.head] + EPSILON)}

    def constants(self) -> tuple[float, ...]:
        """Return the epsilons."""
        return (EPSILON, *HeadLoss.constants(self))


class NormRegL1(RegL1):
    """NormRegL1Loss: Σ|p/(t + 1e-4)·m − m| / (n·D + 1e-4): the error relative to the target."""

    def distance(self, pred_BDM: Tensor, target_BDM: Tensor, mask_B1M: Tensor) -> Tensor:
        """Return the masked relative distance of every element."""
        return (pred_BDM / (target_BDM + EPSILON) * mask_B1M - mask_B1M).abs()


class L1(RegL1):
    """L1Loss: the plain mean of |p·m − t·m| over B·M·D, empty slots counted."""

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide by the number of elements of all slots."""
        batch, slots = tensors["ind"].shape
        return {"": sums[0] / (batch * slots * self.recipe.heads[self.head])}

    def blocks(self, prediction: Tensor, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the terms of the distance, as rows of M."""
        return super().blocks(prediction, tensors)[:1]

    def constants(self) -> tuple[float, ...]:
        """Return those of the head: the divisor is a size."""
        return HeadLoss.constants(self)


class SmoothL1(RegL1):
    """_reg_loss: Σ smooth-L1(p·m − t·m) / (n + 1e-4), β = 1, n the number of objects."""

    def distance(self, pred_BDM: Tensor, target_BDM: Tensor, mask_B1M: Tensor) -> Tensor:
        """Return the masked smooth-L1 distance of every element."""
        return smooth_l1(pred_BDM * mask_B1M - target_BDM * mask_B1M)

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide by the number of objects."""
        del tensors
        total, count = sums
        return {"": total / (count + EPSILON)}


def smooth_l1(residual: Tensor) -> Tensor:
    """Return ½r² where |r| < 1, |r| − ½ elsewhere, as k·(|r| − ½k) with k = min(|r|, 1)."""
    distance = residual.abs()
    bent = distance.clamp(max=1)
    return bent * (distance - bent * 0.5)
