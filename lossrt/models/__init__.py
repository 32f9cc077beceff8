"""WHAT is computed: the explicit table of graphs, each with its signature, its export-friendly form and its reference."""

__all__ = ["GRAPHS", "Graph", "graph_names", "step_graphs"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from lossrt.models import gather, generic, gradients
from lossrt.models.head_step import HeadStep
from lossrt.models.head_step_spec import OPTIMIZERS, SCOPES, open_dims, step_name
from lossrt.models.head_step_spec import spec as step_spec
from lossrt.models.reference.head_step import head_step
from lossrt.models.reference.wire import REFERENCES, Reference
from lossrt.recipe import LossKind, Recipe, StepOptimizer, StepScope
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
        inputs_of: The graph of the same inputs whose golden cases serve this one too; None where it has its own.
        derived: The module calls autograd in its forward pass, so that the export has to trace it first.
        dims: The dimensions that stay open, from those that the export opens.
    """

    spec: Callable[[Recipe], GraphSpec]
    module: Callable[[Recipe, frozenset[str]], nn.Module]
    reference: Reference
    constants: Callable[[Recipe], tuple[float, ...]] = lambda _recipe: ()
    stand_ins: Callable[[Recipe], Mapping[str, str]] = lambda _recipe: {}
    inputs_of: str | None = None
    derived: bool = False
    dims: Callable[[GraphSpec, frozenset[str]], frozenset[str]] = lambda _spec, chosen: chosen


def graph_names(recipe: Recipe) -> tuple[str, ...]:
    """Return the graphs of a recipe: the gather, each kind of loss in use on its own, the total, and its gradients."""
    kinds = dict.fromkeys(recipe.loss_kind(head) for head in recipe.active_heads)
    return ("gather_feat", *kinds, "generic_loss", "generic_loss_grad")


def _single(kind: LossKind) -> Graph:
    return Graph(
        spec=lambda recipe: generic.graph_spec(kind, generic.SingleLoss(recipe, kind)),
        module=lambda recipe, dynamic: generic.SingleLoss(recipe, kind, dynamic),
        reference=REFERENCES[kind],
        constants=lambda recipe: generic.SingleLoss(recipe, kind).constants(),
    )


def step_graphs(recipe: Recipe) -> dict[str, tuple[StepScope, StepOptimizer]]:
    """Return the training steps that a recipe asks for: scope and optimizer by graph name."""
    asked = recipe.finetune.steps if recipe.finetune else ()
    kinds = {f"{scope}.{optimizer}": (scope, optimizer) for scope in SCOPES for optimizer in OPTIMIZERS}
    return {step_name(*kinds[step]): kinds[step] for step in asked}


def _step(scope: StepScope, optimizer: StepOptimizer) -> Graph:
    return Graph(
        spec=lambda recipe: step_spec(recipe, scope, optimizer),
        module=lambda recipe, dynamic: HeadStep(recipe, scope, optimizer, dynamic),
        reference=partial(head_step, scope=scope, optimizer=optimizer),
        constants=lambda recipe: HeadStep(recipe, scope, optimizer).constants(),
        derived=True,
        dims=lambda spec, _chosen: open_dims(spec),
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
    "generic_loss_grad": Graph(
        gradients.gradient_spec,
        gradients.GenericLossGrad,
        REFERENCES["generic_loss_grad"],
        lambda recipe: generic.GenericLoss(recipe).constants(),
        inputs_of="generic_loss",
        derived=True,
    ),
    **{step_name(scope, optimizer): _step(scope, optimizer) for scope in SCOPES for optimizer in OPTIMIZERS},
}
