"""Exported training steps: open sizes, standard operators, constants that survive, and twenty steps beside PyTorch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from lossrt.export.gates import GateError, check_model
from lossrt.export.head_step_cases import PERTURBED, step_case_names, step_cases
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS, step_graphs
from lossrt.models.reference.head_step import TrainedHeads, optimizer_of
from lossrt.passes.walk import nodes_in
from lossrt.recipe import Finetune, Recipe, load_recipe
from lossrt.runtime.ort import OrtSession
from lossrt.targets.annotations import frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.scenes import generated_scene
from lossrt.targets.step_inputs import StepDraw, step_inputs
from lossrt.validators.oracle.table import ORACLES
from lossrt.validators.tolerances import judge

Arrays = Mapping[str, NDArray[Any]]
TABLE = Finetune(steps=("full.adamw", "last.sgd"), clip_norm=1.0, weight_decay=1e-3)
STEPS = ("head_step_full_adamw", "head_step_last_sgd")
LOSS_BAR = 2e-6
"""How far twenty steps' losses may be from PyTorch's, relatively."""


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Two heads, one of each kind: an export takes as long as it has heads."""
    heads: dict[str, Any] = {"heads": {"hm": 1, "reg": 2}, "weights": {"hm": 1.0, "reg": 1.0}}
    return load_recipe("mot17", max_objs=16, batch=2, **heads, finetune=TABLE.model_dump())


@pytest.fixture(scope="module")
def models(recipe: Recipe) -> dict[str, onnx.ModelProto]:
    return {name: onnx_from_graph(GRAPHS[name], recipe, options=ExportOptions()) for name in step_graphs(recipe)}


@pytest.mark.parametrize("name", STEPS)
def test_it_passes_every_gate(name: str, recipe: Recipe, models: dict[str, onnx.ModelProto]) -> None:
    graph = GRAPHS[name]
    feeds = [step_cases(recipe, *step_graphs(recipe)[name], seed=0)[case] for case in PERTURBED]
    check_model(models[name], graph.spec(recipe), constants=graph.constants(recipe), feeds=feeds)


@pytest.mark.parametrize("name", STEPS)
def test_no_scatter_adds_and_no_convolution_is_derived(name: str, models: dict[str, onnx.ModelProto]) -> None:
    nodes = list(nodes_in(models[name].graph.node))
    assert {node.op_type for node in nodes if node.domain not in ("", "ai.onnx")} <= {"GatherFeat", "SumByPixel"}
    for node in nodes:
        assert {attribute.s for attribute in node.attribute if attribute.name == "reduction"} <= {b"none"}, node.name
    assert sum(node.op_type.startswith("Scatter") for node in nodes) == 1  # the heatmap's positives
    # The map is cut into tiles by convolutions with constants: transformed, and for AdamW as it is.
    assert sum(node.op_type == "Conv" for node in nodes) == (2 if "full" in name else 0)


@pytest.mark.parametrize("name", STEPS)
def test_every_size_but_the_slots_is_open(name: str, models: dict[str, onnx.ModelProto]) -> None:
    names = {
        dim.dim_param for value in models[name].graph.input for dim in value.type.tensor_type.shape.dim if dim.dim_param
    }
    assert names == {"B", "H", "W", "K_hm", "K_reg"} | ({"F"} if "full" in name else set())


@pytest.mark.parametrize("name", STEPS)
def test_every_case_agrees_with_the_oracle(name: str, recipe: Recipe, models: dict[str, onnx.ModelProto]) -> None:
    cases = step_cases(recipe, *step_graphs(recipe)[name], seed=0)
    assert tuple(cases) == step_case_names(recipe)
    assert "clipped" in cases
    with OrtSession(models[name].SerializeToString(), threads=1) as session:
        for case, arrays in cases.items():
            found, tensors = session.run(arrays), {key: torch.from_numpy(array) for key, array in arrays.items()}
            theirs = GRAPHS[name].reference(recipe, tensors)
            for output, expected in ORACLES[name](recipe, arrays).items():
                verdict = judge(output, found[output], expected, reference=theirs[output].numpy())
                assert verdict.verdict == "pass", (case, verdict)


def test_an_epsilon_that_an_optimizer_removed_is_found(recipe: Recipe, models: dict[str, onnx.ModelProto]) -> None:
    name = "head_step_full_adamw"
    graph, model = GRAPHS[name], onnx.ModelProto()
    model.CopyFrom(models[name])
    epsilon = np.float32(1e-8 * 1024)
    hit = [
        c for c in model.graph.initializer if numpy_helper.to_array(c).size == 1 and numpy_helper.to_array(c) == epsilon
    ]
    assert hit
    for constant in hit:
        constant.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(constant)), constant.name))
    feeds = [step_cases(recipe, *step_graphs(recipe)[name], seed=0)[case] for case in PERTURBED]
    with pytest.raises(GateError, match=r"constant 1\.024e-05 is gone"):
        check_model(model, graph.spec(recipe), constants=graph.constants(recipe), feeds=feeds)


def test_a_scatter_that_adds_is_found(recipe: Recipe, models: dict[str, onnx.ModelProto]) -> None:
    name = "head_step_last_sgd"
    graph, model = GRAPHS[name], onnx.ModelProto()
    model.CopyFrom(models[name])
    (scatter,) = (node for node in model.graph.node if node.op_type == "ScatterElements")
    kept = [attribute for attribute in scatter.attribute if attribute.name != "reduction"]
    del scatter.attribute[:]
    scatter.attribute.extend([*kept, onnx.helper.make_attribute("reduction", "add")])
    feeds = [step_cases(recipe, *step_graphs(recipe)[name], seed=0)[case] for case in PERTURBED]
    with pytest.raises(GateError, match="ScatterElements with a reduction"):
        check_model(model, graph.spec(recipe), constants=graph.constants(recipe), feeds=feeds)


@pytest.mark.parametrize("name", STEPS)
def test_twenty_steps_stay_beside_pytorch(name: str, recipe: Recipe, models: dict[str, onnx.ModelProto]) -> None:
    (scope, optimizer), table = step_graphs(recipe)[name], recipe.finetune
    assert table is not None
    arrays = _frame(recipe, name)
    given = {key.removeprefix("param_"): torch.from_numpy(a) for key, a in arrays.items() if key.startswith("param_")}
    heads = TrainedHeads(recipe, given)
    stepper = optimizer_of(heads, optimizer, table, lr=1e-3)
    batch = {key: torch.from_numpy(array) for key, array in arrays.items()}
    ours, theirs = [], []
    with OrtSession(models[name].SerializeToString(), threads=1) as session:
        for _ in range(20):
            found = session.run(arrays)
            ours.append(float(found["loss"]))
            arrays |= {key.removeprefix("new_"): array for key, array in found.items() if key.startswith("new_")}
            stepper.zero_grad()
            loss = heads(batch)["loss"]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(heads.parameters(), table.clip_norm)
            stepper.step()
            theirs.append(float(loss.detach()))
    assert scope in name
    assert theirs[-1] < theirs[0]
    assert np.max(np.abs(np.array(ours) / np.array(theirs) - 1)) <= LOSS_BAR


def _frame(recipe: Recipe, name: str) -> dict[str, NDArray[Any]]:
    """One frame on a map of neither the recipe's size nor the cases'."""
    small = recipe.model_copy(update={"input": (26 * 4, 45 * 4)})
    pairs = frame_pairs([generated_scene(small, frames=2, seed=5, objects=6)])[1:]
    sizes = small.sizes | {"B": 1, "F": 7, "K_hm": 11, "K_reg": 5}
    rng, signature = np.random.default_rng(5), GRAPHS[name].spec(small)
    targets = encode_batch(pairs, small).arrays
    return step_inputs(signature, small, targets, sizes=sizes, rng=rng, draw=StepDraw(started=False))
