"""WHAT is computed: the explicit table of graphs, each with its signature, its export-friendly form and its reference."""

__all__ = ["GRAPHS", "Graph", "graph_names"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from lossrt.models import gather, generic
from lossrt.models.reference.wire import REFERENCES, Reference
from lossrt.recipe import LossKind, Recipe
from lossrt.spec import GraphSpec


@dataclass(frozen=True, slots=True)
class Graph:
    """One graph of the export.

    Attributes:
        spec: Signature for a recipe.
        module: Export-friendly module for a recipe and the names of its open dimensions; takes and returns named tensors.
        reference: PyTorch's own form on the same named tensors.
        constants: Epsilons, clamps and weights that must survive the export of a recipe.
        stand_ins: Inputs that take another name's array in a recipe's golden cases.
    """

    spec: Callable[[Recipe], GraphSpec]
    module: Callable[[Recipe, frozenset[str]], nn.Module]
    reference: Reference
    constants: Callable[[Recipe], tuple[float, ...]] = lambda _recipe: ()
    stand_ins: Callable[[Recipe], Mapping[str, str]] = lambda _recipe: {}


def graph_names(recipe: Recipe) -> tuple[str, ...]:
    """Return the graphs of a recipe: the gather, each kind of loss in use on its own, and the total."""
    kinds = dict.fromkeys(recipe.loss_kind(head) for head in recipe.active_heads)
    return ("gather_feat", *kinds, "generic_loss")


def _single(kind: LossKind) -> Graph:
    return Graph(
        spec=lambda recipe: generic.graph_spec(kind, generic.SingleLoss(recipe, kind)),
        module=lambda recipe, dynamic: generic.SingleLoss(recipe, kind, dynamic),
        reference=REFERENCES[kind],
        constants=lambda recipe: generic.SingleLoss(recipe, kind).constants(),
    )


GRAPHS: dict[str, Graph] = {
    "gather_feat": Graph(
        gather.spec,
        lambda _recipe, _dynamic: gather.GatherFeat(),
        REFERENCES["gather_feat"],
        stand_ins=lambda recipe: {"feat": f"pred_{gather.gathered_head(recipe)}"},
    ),
    **{kind: _single(kind) for kind in generic.LOSSES if kind in REFERENCES},
    "generic_loss": Graph(
        generic.spec,
        generic.GenericLoss,
        REFERENCES["generic_loss"],
        lambda recipe: generic.GenericLoss(recipe).constants(),
    ),
}
