"""Gradients traced into a forward pass: the same numbers at any size, nothing of autograd left."""

import numpy as np
import pytest
import torch

from lossrt.export.onnx_from_gradient import traced_gradients
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS
from lossrt.passes.walk import nodes_in
from lossrt.recipe import Recipe
from lossrt.runtime.ort import OrtSession
from lossrt.validators.oracle.gradients import loss_gradients
from tests.models.samples import tensors_of
from tests.validators.batches import FAMILY, random_batch

GRAPH = GRAPHS["generic_loss_grad"]
OPEN = frozenset({"B"})
# Together they have nearly every loss; what is computed is the business of tests/models.
RECIPES = ("ctdet-norm-wh", "fairmot", "centerpoint-two-stacks")


@pytest.mark.parametrize("name", RECIPES)
def test_traced_is_what_autograd_gives_at_another_batch(name: str) -> None:
    recipe = FAMILY[name]
    spec = GRAPH.spec(recipe)
    module = GRAPH.module(recipe, OPEN)
    traced = traced_gradients(module, spec, open_dims=OPEN)
    for batch in (1, 3):
        arrays = random_batch(recipe.model_copy(update={"batch": batch}), batch)
        tensors = tensors_of({tensor.name: arrays[tensor.name] for tensor in spec.inputs})
        ours, exact = traced(dict(tensors)), module(dict(tensors))
        assert list(ours) == list(exact)
        for key, value in ours.items():
            assert not value.requires_grad
            torch.testing.assert_close(value, exact[key], rtol=1e-6, atol=1e-9, equal_nan=True)


def batch_of(recipe: Recipe, size: int) -> dict[str, np.ndarray]:
    arrays = random_batch(recipe.model_copy(update={"batch": size}), size)
    # Three pixels for all slots, so that most are shared.
    return arrays | {name: arrays[name] % 3 for name in ("ind", "hp_ind") if name in arrays}


def assert_the_oracles(recipe: Recipe, arrays: dict[str, np.ndarray], session: OrtSession) -> None:
    """Run a graph and hold every gradient to a millionth of its largest element."""
    given = session.run({tensor.name: arrays[tensor.name] for tensor in GRAPH.spec(recipe).inputs})
    for key, expected in loss_gradients(recipe, arrays).items():
        error = np.where(expected.undecided, 0, np.abs(given[key] - expected.value))
        assert given[key].dtype == np.float32
        assert error.max() <= 1e-6 * np.abs(expected.value).max(), key


@pytest.mark.parametrize("name", RECIPES)
def test_the_graph_in_onnx_runtime_is_the_oracles(name: str) -> None:
    recipe = FAMILY[name]
    spec = GRAPH.spec(recipe)
    model = onnx_from_graph(GRAPH, recipe, options=ExportOptions())
    nodes = [node for part in (model.graph, *model.functions) for node in nodes_in(part.node)]
    assert not [node.name for node in nodes for entry in node.attribute if entry.name == "reduction"]
    assert {node.op_type for node in nodes}.isdisjoint({"Sign", "If", "Loop", "Scan"})
    with OrtSession(model.SerializeToString()) as session:
        assert list(session.output_names) == [output.name for output in spec.outputs]
        for size in (1, 2, 3):
            assert_the_oracles(recipe, batch_of(recipe, size), session)


@pytest.mark.parametrize(
    "options",
    [{"dynamic": ()}, {"dynamic": ("batch", "objects")}, {"gather": "flat", "target": "jetpack5"}],
    ids=["static", "open-slots", "flat-for-jetpack5"],
)
def test_other_forms_are_the_oracles_too(options: dict[str, object]) -> None:
    recipe = FAMILY["ctdet"]
    arrays = batch_of(recipe, recipe.batch)
    model = onnx_from_graph(GRAPH, recipe, options=ExportOptions(**options))
    with OrtSession(model.SerializeToString()) as session:
        assert_the_oracles(recipe, arrays, session)
