"""The loss of one head as a graph, and the total over all heads: CenterTrack's GenericLoss and its relatives'.

Source: CenterTrack `src/lib/trainer.py`, GenericLoss; FairMOT `src/lib/trains/mot.py` for its total.
"""

__all__ = ["LOSSES", "GenericLoss", "LossGraph", "SingleLoss", "first_head", "graph_spec", "spec"]

from collections.abc import Sequence

from torch import Tensor, nn

from lossrt.models.bin_rot import BinRot
from lossrt.models.code_weighted_l1 import CodeWeightedL1
from lossrt.models.fast_focal import FastFocal
from lossrt.models.focal import Focal
from lossrt.models.head_loss import HeadLoss
from lossrt.models.identity import Identity
from lossrt.models.object_l1 import L1, NormRegL1, RegL1, SmoothL1
from lossrt.models.reg_weighted_l1 import RegWeightedL1
from lossrt.models.row_sums import sum_blocks
from lossrt.models.weighted_bce import WeightedBce
from lossrt.recipe import HEADS, LossKind, Recipe, prediction_name
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec

LOSSES: dict[LossKind, type[HeadLoss]] = {
    "fast_focal": FastFocal,
    "reg_weighted_l1": RegWeightedL1,
    "bin_rot": BinRot,
    "weighted_bce": WeightedBce,
    "focal": Focal,
    "reg_l1": RegL1,
    "norm_reg_l1": NormRegL1,
    "l1": L1,
    "smooth_l1": SmoothL1,
    "identity": Identity,
    "code_weighted_l1": CodeWeightedL1,
}
UNCERTAINTIES = ("s_det", "s_id")


class LossGraph(nn.Module):
    """Losses of some heads of a recipe, all their sums in one reduction.

    Args:
        recipe: Heads, weights, activation, sizes and number of stacks.
        heads: The heads, in order.
        dynamic: Names of the dimensions that stay open in the graph.
    """

    def __init__(self, recipe: Recipe, heads: Sequence[str], dynamic: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.recipe = recipe
        self.heads = tuple(heads)
        self.losses = nn.ModuleDict({head: LOSSES[recipe.loss_kind(head)](recipe, head, dynamic) for head in heads})

    def head(self, name: str) -> HeadLoss:
        """Return the loss of a head."""
        loss = self.losses[name]
        assert isinstance(loss, HeadLoss)
        return loss

    def constants(self) -> tuple[float, ...]:
        """Return the epsilons, clamps and weights that must survive the export."""
        return tuple(dict.fromkeys(value for head in self.heads for value in self.head(head).constants()))

    def results(self, tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Return every head's results, averaged over the stacks, by head and suffix."""
        keys = [(stack, head) for stack in range(self.recipe.num_stacks) for head in self.heads]
        blocks = [self.head(head).blocks(tensors[prediction_name(head, stack)], tensors) for stack, head in keys]
        sums = iter(sum_blocks([block for group in blocks for block in group]))
        results: dict[str, dict[str, Tensor]] = {head: {} for head in self.heads}
        for (_, head), group in zip(keys, blocks, strict=True):
            for suffix, value in self.head(head).finish([next(sums) for _ in group], tensors).items():
                part = value / self.recipe.num_stacks if self.recipe.num_stacks > 1 else value
                results[head][suffix] = results[head][suffix] + part if suffix in results[head] else part
        return results


class GenericLoss(LossGraph):
    """Σ_heads weight·loss_head, or FairMOT's ½(e^{−s_det}·det + e^{−s_id}·id + s_det + s_id).

    Args:
        recipe: Heads, weights, activation, sizes and number of stacks.
        dynamic: Names of the dimensions that stay open in the graph.
    """

    def __init__(self, recipe: Recipe, dynamic: frozenset[str] = frozenset()) -> None:
        super().__init__(recipe, recipe.active_heads, dynamic)

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, `loss_<head>` and further results, from the tensors of the graph's spec."""
        results = self.results(tensors)
        weighted = {head: self._weighted(head, results[head][""]) for head in self.heads}
        total = self._joint(weighted, tensors) if self.recipe.family == "fairmot" else _added(list(weighted.values()))
        outputs = {"loss": total.squeeze(0)}
        outputs |= {f"loss_{head}": results[head][""].squeeze(0) for head in self.heads}
        for head in self.heads:
            outputs |= {f"loss_{head}{suffix}": value for suffix, value in results[head].items() if suffix}
        return outputs

    def constants(self) -> tuple[float, ...]:
        """Return those of every head, and the weights other than 1, by which nothing is multiplied."""
        weights = tuple(self.recipe.weights[head] for head in self.heads if self.recipe.weights[head] != 1)
        return (*super().constants(), *weights)

    def _weighted(self, head: str, loss: Tensor) -> Tensor:
        weight = self.recipe.weights[head]
        return loss if weight == 1 else loss * weight

    def _joint(self, weighted: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        detection = _added([loss for head, loss in weighted.items() if head != "id"])
        s_det, s_id = (tensors[name].reshape(1) for name in UNCERTAINTIES)
        parts = [(-s_det).exp() * detection, s_det, s_id]
        if "id" in weighted:
            parts.insert(1, (-s_id).exp() * weighted["id"])
        return _added(parts) * 0.5


class SingleLoss(LossGraph):
    """One head's loss alone, as a graph named after the kind of loss.

    Args:
        recipe: The recipe.
        kind: The kind of loss; its head is the recipe's first of that kind.
        dynamic: Names of the dimensions that stay open in the graph.
    """

    def __init__(self, recipe: Recipe, kind: LossKind, dynamic: frozenset[str] = frozenset()) -> None:
        super().__init__(recipe.model_copy(update={"num_stacks": 1}), [first_head(recipe, kind)], dynamic)

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, and further results, from the tensors of the graph's spec."""
        (results,) = self.results(tensors).values()
        return {f"loss{suffix}": value if suffix else value.squeeze(0) for suffix, value in results.items()}


def first_head(recipe: Recipe, kind: LossKind) -> str:
    """Return the head that stands for a kind of loss: the recipe's first; `reg`, where there is one, for reg_weighted_l1."""
    heads = [head for head in recipe.active_heads if recipe.loss_kind(head) == kind]
    return "reg" if kind == "reg_weighted_l1" and "reg" in heads else heads[0]


def spec(recipe: Recipe) -> GraphSpec:
    """Return the signature of graph `generic_loss`."""
    return graph_spec("generic_loss", GenericLoss(recipe))


def graph_spec(name: str, module: LossGraph) -> GraphSpec:
    """Return the signature of a loss graph: all predictions, then the targets as first needed, then the parameters."""
    recipe = module.recipe
    predictions = [_prediction(recipe, head, stack) for stack in range(recipe.num_stacks) for head in module.heads]
    needed = {spec.name: spec for head in module.heads for spec in module.head(head).inputs()}
    targets = [spec for spec in needed.values() if spec.role == "target"]
    parameters = [spec for spec in needed.values() if spec.role == "parameter"]
    suffixed = {
        f"{head}{suffix}": dims for head in module.heads for suffix, dims in module.head(head).suffixes().items()
    }
    if isinstance(module, SingleLoss):
        outputs = [OutputSpec("loss")]
        outputs += [
            OutputSpec(f"loss{suffix}", dims) for suffix, dims in module.head(module.heads[0]).suffixes().items()
        ]
    else:
        if recipe.family == "fairmot":
            parameters += [TensorSpec(name, "float32", (), "parameter") for name in UNCERTAINTIES]
        outputs = [OutputSpec("loss"), *(OutputSpec(f"loss_{head}") for head in module.heads)]
        outputs += [OutputSpec(f"loss_{key}", dims) for key, dims in suffixed.items()]
    return GraphSpec(name, (*predictions, *targets, *parameters), tuple(outputs), recipe.sizes)


def _prediction(recipe: Recipe, head: str, stack: int) -> TensorSpec:
    dims = ("B", recipe.heads[head], "H", "W")
    low = high = None
    unit = HEADS[head].unit
    if recipe.is_applied(head) and recipe.loss_kind(head) in ("fast_focal", "focal"):
        low, high, unit = 1e-4, 1 - 1e-4, "probability"
    return TensorSpec(prediction_name(head, stack), "float32", dims, "prediction", low, high, unit)


def _added(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
