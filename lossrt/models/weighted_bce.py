"""CenterTrack's WeightedBCELoss on nuScenes attributes, in export-friendly operators.

Source: CenterTrack `src/lib/model/losses.py`, WeightedBCELoss.
"""

__all__ = ["WeightedBce"]

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lossrt.models.head_loss import HeadLoss, gather_rows, index_spec
from lossrt.spec import TensorSpec

EPSILON = 1e-4


class WeightedBce(HeadLoss):
    """Σ m·BCE(x, t) / (Σm + 1e-4), BCE(x, t) = max(x, 0) − x·t + log(1 + exp(−|x|)), x the logit."""

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the index, the target and its mask."""
        dims = ("B", "M", self.recipe.heads[self.head])
        target = TensorSpec(self.head, "float32", dims, "target", 0, 1)
        return index_spec(self.head), target, TensorSpec(f"{self.head}_mask", "float32", dims, "target", 0, 1)

    def blocks(self, prediction: Tensor, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the terms m·BCE and m as rows of M."""
        logit = gather_rows(prediction, tensors["ind"], tensors["ind"].shape[1])
        target = tensors[self.head].transpose(1, 2)
        mask = tensors[f"{self.head}_mask"].transpose(1, 2)
        # maximum, not clamp: its slope at 0 is ½, as that of the whole is.
        highest = torch.maximum(logit, torch.zeros_like(logit))
        entropy = highest - logit * target + (1 + (-logit.abs()).exp()).log()
        return mask * entropy, mask

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide by the number of masked-in elements."""
        del tensors
        total, count = sums
        return {"": total / (count + EPSILON)}

    def constants(self) -> tuple[float, ...]:
        """Return the epsilon."""
        return (EPSILON,)
