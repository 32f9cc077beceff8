"""WHAT is computed: the explicit table of graphs, each with its signature, its export-friendly form and its reference."""

__all__ = ["GRAPHS", "Graph"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from lossrt.models import fast_focal, gather, generic, reg_weighted_l1
from lossrt.models.reference.wire import REFERENCES, Reference
from lossrt.recipe import Recipe
from lossrt.spec import GraphSpec


@dataclass(frozen=True, slots=True)
class Graph:
    """One graph of the export.

    Attributes:
        spec: Signature for a recipe.
        module: Export-friendly module for a recipe and the names of its open dimensions; takes and returns named tensors.
        reference: PyTorch's own form on the same named tensors.
        constants: Epsilons and clamps that must survive the export.
        stand_ins: Inputs that take another name's array in the golden cases.
    """

    spec: Callable[[Recipe], GraphSpec]
    module: Callable[[Recipe, frozenset[str]], nn.Module]
    reference: Reference
    constants: Callable[[Recipe], tuple[float, ...]] = lambda _recipe: ()
    stand_ins: Mapping[str, str] = field(default_factory=dict)


GRAPHS: dict[str, Graph] = {
    "gather_feat": Graph(
        gather.spec,
        lambda _recipe, _dynamic: gather.GatherFeat(),
        REFERENCES["gather_feat"],
        stand_ins={"feat": "pred_reg"},
    ),
    "fast_focal": Graph(fast_focal.spec, fast_focal.FastFocal, REFERENCES["fast_focal"], fast_focal.constants),
    "reg_weighted_l1": Graph(
        reg_weighted_l1.spec,
        lambda _recipe, _dynamic: reg_weighted_l1.RegWeightedL1(),
        REFERENCES["reg_weighted_l1"],
        lambda _recipe: (reg_weighted_l1.EPSILON,),
    ),
    "generic_loss": Graph(generic.spec, generic.GenericLoss, REFERENCES["generic_loss"], generic.constants),
}
