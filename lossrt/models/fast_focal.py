"""CenterTrack's FastFocalLoss on a heatmap, from logits, in export-friendly operators.

Source: CenterTrack `src/lib/model/losses.py`, FastFocalLoss, with the sigmoid and clamp of `src/lib/model/utils.py`.
"""

__all__ = ["FastFocal"]

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lossrt.models.gather import gather_feat
from lossrt.models.head_loss import HeadLoss, index_spec
from lossrt.models.odds import LOGIT_MAX, LOGIT_MIN, inverse_probability, odds, times_probability
from lossrt.models.row_sums import map_partials, map_rows
from lossrt.recipe import HEADS, Recipe
from lossrt.spec import TensorSpec

# Head → names of its mask and of its class index.
NAMES = {"hm": ("mask", "cat"), "hm_hp": ("hm_hp_mask", "joint")}


class FastFocal(HeadLoss):
    """Focal loss over the map, positives read at the objects' pixels.

    With p the clamped probability, t the target, q = p at (index, class) and n = Σ mask:
    loss = −(Σ_map log(1−p)·p²·(1−t)⁴ + Σ_slots log(q)·(1−q)²·mask) / max(n, 1).
    Upstream branches on n = 0; the branch-free form is the same, since without objects the second sum is 0.
    """

    def __init__(self, recipe: Recipe, head: str, dynamic: frozenset[str] = frozenset()) -> None:
        super().__init__(recipe, head, dynamic)
        self.applied = recipe.is_applied(head)
        self.mask, self.category = NAMES[head]
        self.partials = map_partials(recipe.heads[head], recipe, dynamic)

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the heatmap, the index, the mask and the class index."""
        channels, slots = self.recipe.heads[self.head], HEADS[self.head].slots
        return (
            TensorSpec(self.head, "float32", ("B", channels, "H", "W"), "target", 0, 1),
            index_spec(self.head),
            TensorSpec(self.mask, "float32", ("B", slots), "target", 0, 1),
            TensorSpec(self.category, "int64", ("B", slots), "target", 0, channels),
        )

    def blocks(self, prediction: Tensor, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the terms of −(neg + pos) and of n, as rows of M."""
        slots = tensors["ind"].shape[1]
        targets = (tensors[name] for name in (self.head, self.index, self.mask, self.category))
        objects, terms = self._terms(prediction, *targets)
        rows = [tensor.reshape(prediction.shape[0], -1, slots) for tensor in (objects, tensors[self.mask])]
        return torch.cat([rows[0], map_rows(terms, slots, self.partials)], dim=1), rows[1]

    def _terms(
        self,
        prediction: Float[Tensor, "B C H W"],
        target: Float[Tensor, "B C H W"],
        index: Int64[Tensor, "B S"],
        mask: Float[Tensor, "B S"],
        category: Int64[Tensor, "B S"],
    ) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B C H W"]]:
        batch, _, height, width = prediction.shape
        # The class is folded into the index, so that one gather over all channels finds (index, class).
        one_map = prediction.reshape(batch, 1, -1, width)
        at_objects = gather_feat(one_map, category * (height * width) + index).squeeze(2)
        if self.applied:
            return _positive_applied(at_objects) * mask, _negative_applied(prediction, target)
        return _positive_raw(at_objects) * mask, _negative_raw(prediction, target)

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide by the number of objects, by 1 where there is none."""
        del tensors
        total, count = sums
        return {"": total / count.clamp(min=1)}

    def constants(self) -> tuple[float, ...]:
        """Return the clamps of the logit."""
        return () if self.applied else (LOGIT_MIN, LOGIT_MAX)


def _negative_raw(logit: Tensor, target: Tensor) -> Tensor:
    """−log(1−p)·p²·(1−t)⁴ with e = p/(1−p): log(1+e) keeps every digit that log(1 − sigmoid) loses near p = 1."""
    e = odds(logit)
    e_plus_1 = e + 1
    keep = 1 - target
    # In this order the intermediate stays in range and the compiler keeps the map in one kernel.
    weight = times_probability(keep * keep, e)
    return e_plus_1.log() * (weight * weight)


def _positive_raw(logit: Tensor) -> Tensor:
    """−log(q)·(1−q)² with e = q/(1−q): q = e/(1+e), 1−q = 1/(1+e)."""
    e = odds(logit)
    e_plus_1 = e + 1
    return inverse_probability(e).log() / (e_plus_1 * e_plus_1)


def _negative_applied(p: Tensor, target: Tensor) -> Tensor:
    keep = 1 - target
    weight = keep * keep * p
    return -(1 - p).log() * (weight * weight)


def _positive_applied(q: Tensor) -> Tensor:
    miss = 1 - q
    return -q.log() * (miss * miss)
