"""CornerNet's focal loss, as CenterNet and FairMOT train it, from logits, in export-friendly operators.

Source: CenterNet `src/lib/models/losses.py`, _neg_loss.
"""

__all__ = ["Focal"]

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lossrt.models.head_loss import HeadLoss
from lossrt.models.odds import LOGIT_MAX, LOGIT_MIN, inverse_probability, odds, times_probability
from lossrt.models.row_sums import map_partials, map_rows
from lossrt.recipe import Recipe
from lossrt.spec import TensorSpec


class Focal(HeadLoss):
    """Focal loss whose positives are the pixels where the target is 1: a pixel counts once, however many objects share it.

    With p the clamped probability, t the target and n the number of pixels with t = 1:
    loss = −(Σ_{t=1} log(p)·(1−p)² + Σ_{t<1} log(1−p)·p²·(1−t)⁴) / max(n, 1).
    """

    def __init__(self, recipe: Recipe, head: str, dynamic: frozenset[str] = frozenset()) -> None:
        super().__init__(recipe, head, dynamic)
        self.applied = recipe.is_applied(head)
        self.partials = map_partials(recipe.heads[head], recipe, dynamic)

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the heatmap."""
        channels = self.recipe.heads[self.head]
        return (TensorSpec(self.head, "float32", ("B", channels, "H", "W"), "target", 0, 1),)

    def blocks(self, prediction: Tensor, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the terms of −(neg + pos) and of n, as rows of M."""
        target = tensors[self.head]
        slots = tensors["ind"].shape[1] if "ind" in tensors else self.recipe.max_objs
        hit = target == 1
        terms = _applied(prediction, target, hit) if self.applied else _raw(prediction, target, hit)
        hits = hit.to(prediction.dtype)
        return map_rows(terms, slots, self.partials), map_rows(hits, slots, self.partials)

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide by the number of positive pixels, by 1 where there is none."""
        del tensors
        total, count = sums
        return {"": total / count.clamp(min=1)}

    def constants(self) -> tuple[float, ...]:
        """Return the clamps of the logit."""
        return () if self.applied else (LOGIT_MIN, LOGIT_MAX)


def _raw(logit: Tensor, target: Tensor, hit: Tensor) -> Tensor:
    """One logarithm a pixel: −log(p) = log((1+e)/e) where t = 1, −log(1−p) = log(1+e) elsewhere."""
    e = odds(logit)
    e_plus_1 = e + 1
    keep = 1 - target
    weight = torch.where(hit, 1 / e_plus_1, times_probability(keep * keep, e))
    return torch.where(hit, inverse_probability(e), e_plus_1).log() * (weight * weight)


def _applied(p: Tensor, target: Tensor, hit: Tensor) -> Tensor:
    keep = 1 - target
    weight = torch.where(hit, 1 - p, keep * keep * p)
    return -torch.where(hit, p, 1 - p).log() * (weight * weight)
