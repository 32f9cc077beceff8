"""Recipes and tensors that the tests of the models share."""

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from lossrt.models import GRAPHS, graph_names
from lossrt.recipe import Recipe
from lossrt.spec import GraphSpec
from tests.validators.samples import recipe_of

ONE_CLASS = {"hm": 1, "reg": 2, "wh": 2, "tracking": 2, "ltrb_amodal": 4}
RECIPES: dict[str, Recipe] = {
    "three-classes": recipe_of(),
    "one-class": recipe_of(classes=1, heads=ONE_CLASS),
    "applied": recipe_of(activation={"hm": "applied"}),
    "two-stacks": recipe_of(num_stacks=2),
    "two-stacks-applied": recipe_of(num_stacks=2, activation={"hm": "applied"}),
    "head-removed": recipe_of(weights={"hm": 1.0, "reg": 0.0, "wh": 0.1, "tracking": 2.5, "ltrb_amodal": 0.0}),
    "heatmap-only": recipe_of(heads={"hm": 3}, weights={"hm": 0.5}),
    "one-slot": recipe_of(max_objs=1),
    # 3 classes on 16 x 48 pixels: 9 partial sums, more than there are slots.
    "padded-rows": recipe_of(input=[64, 192], max_objs=3),
}


def tensors_of(arrays: Mapping[str, NDArray[Any]], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return tensors of their own, floating-point ones in the given type."""
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def run(graph: str, recipe: Recipe, tensors: Mapping[str, Tensor], *dynamic: str) -> dict[str, Tensor]:
    """Run the export-friendly module of a graph."""
    outputs: dict[str, Tensor] = GRAPHS[graph].module(recipe, frozenset(dynamic))(dict(tensors))
    return outputs


def gradients(loss: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the gradient for every prediction, zeros where the loss does not depend on it."""
    names = [name for name in tensors if name.startswith("pred_") and tensors[name].requires_grad]
    grads = torch.autograd.grad(loss, [tensors[name] for name in names], allow_unused=True)
    return {
        name: torch.zeros_like(tensors[name]) if grad is None else grad for name, grad in zip(names, grads, strict=True)
    }


def with_gradients(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of which the predictions ask for a gradient."""
    return {name: tensor.detach().clone().requires_grad_(name.startswith("pred_")) for name, tensor in tensors.items()}


def takes(graph: str, recipe: Recipe) -> bool:
    """Whether the recipe has what the graph computes."""
    return graph in graph_names(recipe)


def signature(graph: str, recipe: Recipe) -> GraphSpec:
    """Return a graph's signature for a recipe."""
    return GRAPHS[graph].spec(recipe)


def constants_of(graph: str, recipe: Recipe) -> tuple[float, ...]:
    """Return the numbers that must survive a graph's export."""
    return GRAPHS[graph].constants(recipe)
