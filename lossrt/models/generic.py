"""CenterTrack's GenericLoss: every head of the recipe, weighted and summed, in export-friendly operators.

Source: CenterTrack `src/lib/trainer.py`, GenericLoss.
"""

__all__ = ["GenericLoss", "constants", "spec"]

from torch import Tensor, nn

from lossrt.models import fast_focal, reg_weighted_l1
from lossrt.models.row_sums import sum_blocks
from lossrt.recipe import HEADS, Recipe, prediction_name
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec


def spec(recipe: Recipe) -> GraphSpec:
    """Return the signature of graph `generic_loss`: all predictions, then CenterTrack's batch, then the losses."""
    heatmap = fast_focal.spec(recipe).input("pred_hm")
    predictions, targets = [], list(fast_focal.target_specs(recipe.classes))
    for stack in range(recipe.num_stacks):
        for head in recipe.active_heads:
            dims = ("B", recipe.heads[head], "H", "W")
            low, high, unit = (heatmap.low, heatmap.high, heatmap.unit) if head == "hm" else (None, None, "px")
            predictions.append(TensorSpec(prediction_name(head, stack), "float32", dims, "prediction", low, high, unit))
    for head in recipe.active_heads:
        if HEADS[head].loss == "reg_weighted_l1":
            targets += reg_weighted_l1.target_specs(head, recipe.heads[head])
    return GraphSpec(
        name="generic_loss",
        inputs=(*predictions, *targets),
        outputs=(OutputSpec("loss"), *(OutputSpec(f"loss_{head}") for head in recipe.active_heads)),
        sizes=recipe.sizes,
    )


def constants(recipe: Recipe) -> tuple[float, ...]:
    """Return the epsilons, clamps and weights that must survive the export."""
    weights = tuple(recipe.weights[head] for head in recipe.active_heads if recipe.weights[head] != 1)
    regressed = any(HEADS[head].loss == "reg_weighted_l1" for head in recipe.active_heads)
    return (*fast_focal.constants(recipe), *weights, *((reg_weighted_l1.EPSILON,) if regressed else ()))


class GenericLoss(nn.Module):
    """Σ_heads weight·loss_head, each loss averaged over the stacks; all sums of all heads in one reduction.

    Args:
        recipe: Heads, weights, activation, sizes and number of stacks.
        dynamic: Names of the dimensions that stay open in the graph.
    """

    def __init__(self, recipe: Recipe, dynamic: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.recipe = recipe
        self.focal = fast_focal.FastFocal(recipe, dynamic)

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss` and `loss_<head>`, scalars, from the tensors of the graph's spec."""
        keys = [(stack, head) for stack in range(self.recipe.num_stacks) for head in self.recipe.active_heads]
        sums = sum_blocks([block for stack, head in keys for block in self._blocks(tensors, head, stack)])
        losses: dict[str, Tensor] = {}
        for (_, head), total, count in zip(keys, sums[::2], sums[1::2], strict=True):
            finish = fast_focal.finish if HEADS[head].loss == "fast_focal" else reg_weighted_l1.finish
            loss = finish(total, count)
            if self.recipe.num_stacks > 1:
                loss = loss / self.recipe.num_stacks
            losses[head] = losses[head] + loss if head in losses else loss
        return {"loss": self._total(losses).squeeze(0)} | {f"loss_{head}": losses[head].squeeze(0) for head in losses}

    def _blocks(self, tensors: dict[str, Tensor], head: str, stack: int) -> tuple[Tensor, Tensor]:
        prediction = tensors[prediction_name(head, stack)]
        if HEADS[head].loss == "fast_focal":
            return self.focal.blocks(prediction, tensors["hm"], tensors["ind"], tensors["mask"], tensors["cat"])
        return reg_weighted_l1.blocks(prediction, tensors["ind"], tensors[head], tensors[f"{head}_mask"])

    def _total(self, losses: dict[str, Tensor]) -> Tensor:
        weighted = [
            losses[head] if (weight := self.recipe.weights[head]) == 1 else losses[head] * weight for head in losses
        ]
        total = weighted[0]
        for term in weighted[1:]:
            total = total + term
        return total
