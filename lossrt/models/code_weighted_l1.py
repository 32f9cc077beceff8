"""CenterPoint's RegLoss: one L1 distance a dimension, each with its weight, in export-friendly operators.

Source: CenterPoint `det3d/models/losses/centernet_loss.py`, RegLoss; weights in `det3d/models/bbox_heads/center_head.py`.
"""

__all__ = ["CodeWeightedL1"]

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lossrt.models.head_loss import HeadLoss, gather_rows, index_spec, mask_spec
from lossrt.spec import TensorSpec

EPSILON = 1e-4


class CodeWeightedL1(HeadLoss):
    """v_d = Σ_slots|p·m − t·m|_d / (n + 1e-4); loss = Σ_d code_weight_d · v_d. Also gives the vector v as `_dims`."""

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the index, the mask and the target."""
        dims = ("B", "M", self.recipe.heads[self.head])
        return index_spec(self.head), mask_spec(), TensorSpec(self.head, "float32", dims, "target")

    def blocks(self, prediction: Tensor, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the terms of every dimension's distance, one block each, and of n."""
        pred = gather_rows(prediction, tensors["ind"], tensors["ind"].shape[1])
        mask = tensors["mask"].unsqueeze(1)
        distance = (pred * mask - tensors[self.head].transpose(1, 2) * mask).abs()
        return *torch.split(distance, 1, dim=1), mask

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide every dimension by the number of objects, then weigh and add up."""
        del tensors
        count = sums[-1] + EPSILON
        distances = [total / count for total in sums[:-1]]
        weights = self.recipe.code_weights or ()
        loss = distances[0] * weights[0]
        for distance, weight in zip(distances[1:], weights[1:], strict=True):
            loss = loss + distance * weight
        return {"": loss, "_dims": torch.cat(distances)}

    def constants(self) -> tuple[float, ...]:
        """Return the epsilon, and the weights other than 1, by which nothing is multiplied."""
        return (EPSILON, *(weight for weight in self.recipe.code_weights or () if weight != 1))

    def suffixes(self) -> dict[str, tuple[int, ...]]:
        """Return the vector of distances."""
        return {"_dims": (self.recipe.heads[self.head],)}
