"""CenterTrack's FastFocalLoss on the heatmap, from logits, in export-friendly operators.

Source: CenterTrack `src/lib/model/losses.py`, FastFocalLoss, with the sigmoid and clamp of `src/lib/model/utils.py`.
"""

__all__ = ["FastFocal", "constants", "spec"]

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lossrt.models.gather import gather_feat
from lossrt.models.row_sums import map_rows, partial_sums, sum_blocks
from lossrt.recipe import Recipe
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec

# p/(1−p) at upstream's clamp of the probability, p = 1e-4 and p = 1 − 1e-4.
ODDS_MIN = 1e-4 / (1 - 1e-4)
ODDS_MAX = (1 - 1e-4) / 1e-4


def spec(recipe: Recipe) -> GraphSpec:
    """Return the signature of graph `fast_focal`: the heatmap's loss alone."""
    classes = recipe.classes
    applied = recipe.activation.get("hm") == "applied"
    return GraphSpec(
        name="fast_focal",
        inputs=(
            TensorSpec(
                "pred_hm",
                "float32",
                ("B", classes, "H", "W"),
                "prediction",
                1e-4 if applied else None,
                1 - 1e-4 if applied else None,
                "probability" if applied else "logit",
            ),
            *target_specs(classes),
        ),
        outputs=(OutputSpec("loss"),),
        sizes=recipe.sizes,
    )


def target_specs(classes: int) -> tuple[TensorSpec, ...]:
    """Return the specs of `hm`, `ind`, `mask` and `cat`, which every loss on the heatmap takes."""
    return (
        TensorSpec("hm", "float32", ("B", classes, "H", "W"), "target", 0, 1),
        TensorSpec("ind", "int64", ("B", "M"), "target", 0, "H*W"),
        TensorSpec("mask", "float32", ("B", "M"), "target", 0, 1),
        TensorSpec("cat", "int64", ("B", "M"), "target", 0, classes),
    )


def constants(recipe: Recipe) -> tuple[float, ...]:
    """Return the clamps that must survive the export."""
    return () if recipe.activation.get("hm") == "applied" else (ODDS_MIN, ODDS_MAX)


class FastFocal(nn.Module):
    """Focal loss over the map, positives read at the objects' pixels.

    With p the clamped probability, t the target, q = p at (ind, cat) and n = Σ mask:
    loss = −(Σ_map log(1−p)·p²·(1−t)⁴ + Σ_slots log(q)·(1−q)²·mask) / max(n, 1).
    Upstream branches on n = 0; the branch-free form is the same, since without objects the second sum is 0.

    Args:
        recipe: Decides the sizes and whether `pred_hm` is raw logits or applied probabilities.
        dynamic: Names of the dimensions that stay open in the graph.
    """

    def __init__(self, recipe: Recipe, dynamic: frozenset[str] = frozenset()) -> None:
        super().__init__()
        height, width = recipe.map_size
        self.applied = recipe.activation.get("hm") == "applied"
        fixed = not dynamic & {"M", "H", "W"}
        self.partials = partial_sums(recipe.classes * height * width) if fixed else None

    def blocks(
        self,
        pred_BCHW: Float[Tensor, "B C H W"],
        target_BCHW: Float[Tensor, "B C H W"],
        ind: Int64[Tensor, "B M"],
        mask: Float[Tensor, "B M"],
        cat: Int64[Tensor, "B M"],
    ) -> tuple[Float[Tensor, "B R M"], Float[Tensor, "B 1 M"]]:
        """Return the terms of −(neg + pos) and of n, as rows of M."""
        height, width = pred_BCHW.shape[2:]
        # The class is folded into the index, so that one gather over C·H·W pixels finds (ind, cat).
        one_map = pred_BCHW.reshape(pred_BCHW.shape[0], 1, -1, width)
        q_BM = gather_feat(one_map, cat * (height * width) + ind).squeeze(2)
        negative, positive = (_negative_applied, _positive_applied) if self.applied else (_negative_raw, _positive_raw)
        rows = map_rows(negative(pred_BCHW, target_BCHW), ind.shape[1], self.partials)
        return torch.cat([(positive(q_BM) * mask).unsqueeze(1), rows], dim=1), mask.unsqueeze(1)

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, a scalar, from the tensors of the graph's spec."""
        blocks = self.blocks(tensors["pred_hm"], tensors["hm"], tensors["ind"], tensors["mask"], tensors["cat"])
        return {"loss": finish(*sum_blocks(blocks)).squeeze(0)}


def finish(total: Float[Tensor, "1"], count: Float[Tensor, "1"]) -> Float[Tensor, "1"]:
    """Divide by the number of objects, by 1 where there is none."""
    return total / count.clamp(min=1)


def _odds(logit: Tensor) -> Tensor:
    """Return p/(1−p), clamped where upstream clamps p: no gradient outside, and finite in any float type."""
    return logit.exp().clamp(ODDS_MIN, ODDS_MAX)


def _negative_raw(logit: Tensor, target: Tensor) -> Tensor:
    """−log(1−p)·p²·(1−t)⁴ with e = p/(1−p): log(1+e) keeps every digit that log(1 − sigmoid) loses near p = 1."""
    odds = _odds(logit)
    odds_plus_1 = odds + 1
    keep = 1 - target
    # In this order the intermediate stays in range and the compiler keeps the map in one kernel.
    weight = keep * keep * odds / odds_plus_1
    return odds_plus_1.log() * (weight * weight)


def _positive_raw(logit: Tensor) -> Tensor:
    """−log(q)·(1−q)² with e = q/(1−q): q = e/(1+e), 1−q = 1/(1+e)."""
    odds = _odds(logit)
    odds_plus_1 = odds + 1
    return (odds_plus_1 / odds).log() / (odds_plus_1 * odds_plus_1)


def _negative_applied(p: Tensor, target: Tensor) -> Tensor:
    keep = 1 - target
    weight = keep * keep * p
    return -(1 - p).log() * (weight * weight)


def _positive_applied(q: Tensor) -> Tensor:
    miss = 1 - q
    return -q.log() * (miss * miss)
