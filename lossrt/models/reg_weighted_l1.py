"""CenterTrack's RegWeightedL1Loss: masked L1 distance at the objects' pixels, in export-friendly operators.

Source: CenterTrack `src/lib/model/losses.py`, RegWeightedL1Loss; the depth of `src/lib/trainer.py`, _sigmoid_output.
"""

__all__ = ["RegWeightedL1", "depth"]

from collections.abc import Mapping, Sequence

from torch import Tensor

from lossrt.models.head_loss import HeadLoss, gather_rows, index_spec
from lossrt.recipe import HEADS
from lossrt.spec import TensorSpec

EPSILON = 1e-4
DEPTH_EPSILON = 1e-6
# exp stays finite in float32; below this logit the depth is 1/DEPTH_EPSILON − 1 to the last digit.
DEPTH_LOGIT = 80.0


class RegWeightedL1(HeadLoss):
    """Σ|pred·m − target·m| / (Σm + 1e-4) over slots and channels, m the mask of shape [B, S, D].

    The mask multiplies, as upstream: NaN under a mask of 0 stays NaN. A raw `dep` head is turned into a depth first.
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
        pred = gather_rows(prediction, tensors[self.index], slots)
        if self.head == "dep" and not self.recipe.is_applied("dep"):
            pred = depth(pred)
        mask = _rows(tensors[f"{self.head}_mask"], slots)
        return (pred * mask - _rows(tensors[self.head], slots) * mask).abs(), mask

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide by the number of masked-in elements; with none, 0 / 1e-4 is exactly 0."""
        del tensors
        total, count = sums
        return {"": total / (count + EPSILON)}

    def constants(self) -> tuple[float, ...]:
        """Return the epsilons."""
        raw_depth = self.head == "dep" and not self.recipe.is_applied("dep")
        return (EPSILON, DEPTH_EPSILON) if raw_depth else (EPSILON,)


def depth(logit: Tensor) -> Tensor:
    """Return 1/(σ(x) + 1e-6) − 1, m, as (E − ε(1+E)) / (1 + ε(1+E)) with E = exp(−x), ε = 1e-6.

    Nothing cancels, where the plain form loses every digit of a small depth; and no sigmoid, whose tail runtimes round
    to an absolute error.
    """
    inverse_odds = (-logit).clamp(max=DEPTH_LOGIT).exp()
    small = (inverse_odds + 1) * DEPTH_EPSILON
    return (inverse_odds - small) / (small + 1)


def _rows(values_BSD: Tensor, slots: int) -> Tensor:
    """[B, S, D] → rows of M, in the order of `gather_rows`."""
    return values_BSD.transpose(1, 2).reshape(values_BSD.shape[0], -1, slots)
