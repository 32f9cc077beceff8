"""The training step's module against the reference in float64, its convolution against PyTorch's, and its traps."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lossrt.errors import InputError
from lossrt.export.head_step_cases import step_cases
from lossrt.models import GRAPHS, step_graphs
from lossrt.models.head_step_conv import (
    BEFORE,
    BEHIND,
    convolved,
    filter_tiles,
    input_tiles,
    map_from_tiles,
)
from lossrt.models.head_step_spec import SCOPES, parameter_dims, spec, step_name
from lossrt.models.head_step_update import _bias_correction, _epsilon_scale
from lossrt.recipe import Finetune, Recipe, StepOptimizer, StepScope, load_recipe, preset_names, with_steps
from lossrt.spec import check_arrays

TRAINABLE = [name for name in preset_names() if name != "fairmot"]
TABLE = Finetune(clip_norm=1.0, weight_decay=1e-3)
EXACT = 1e-9
"""Both sides in float64: what is left is the order of operations."""


def _recipe(name: str) -> Recipe:
    recipe = load_recipe(name)
    return recipe.model_copy(update={"max_objs": min(recipe.max_objs, 24), "finetune": TABLE})


def _in_float64(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(("scope", "optimizer"), [("full", "adamw"), ("last", "sgd")])
@pytest.mark.parametrize("name", TRAINABLE)
def test_every_case_agrees_with_pytorch(name: str, scope: StepScope, optimizer: StepOptimizer) -> None:
    recipe = _recipe(name)
    graph = GRAPHS[step_name(scope, optimizer)]
    module, signature = graph.module(recipe, frozenset()), graph.spec(recipe)
    for case, arrays in step_cases(recipe, scope, optimizer, seed=1).items():
        check_arrays(signature, arrays)
        tensors = _in_float64(arrays)
        got, wanted = module(tensors), graph.reference(recipe, tensors)
        assert list(got) == [output.name for output in signature.outputs]
        for output, value in wanted.items():
            scale = max(float(value.abs().max()), 1e-6)
            assert float((got[output] - value).abs().max()) <= EXACT * scale, (case, output)


@pytest.mark.parametrize("size", [(5, 5), (8, 12), (6, 11), (9, 7), (7, 4)], ids=str)
def test_the_tiled_convolution_is_a_convolution(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 3, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    slope = torch.randn(2, 5, *size, generator=generator, dtype=torch.float64)
    padded = torch.nn.functional.pad(features, (BEFORE, BEHIND, BEFORE, BEHIND))
    ours = map_from_tiles(convolved(input_tiles(padded), filter_tiles(weight)), features)
    theirs = torch.nn.functional.conv2d(features, weight, padding=1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(result, weight, slope)[0] for result in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-11)


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.999, 0.9999])
def test_the_bias_correction_is_exact_in_float32(beta: float) -> None:
    for step in (1, 2, 3, 10, 499, 501, 5000, 100_000):
        wanted = -math.expm1(step * math.log(beta))
        assert float(_bias_correction(beta, torch.tensor(float(step)))) == pytest.approx(wanted, rel=3e-7), step


@pytest.mark.parametrize("eps", [1e-12, 1e-8, 1e-5, 1e-3])
def test_no_epsilon_is_small_enough_to_vanish(eps: float) -> None:
    scale = _epsilon_scale(eps)
    assert eps * scale >= 1e-5
    assert math.log2(scale) == int(math.log2(scale))


def test_an_identity_classifier_is_refused() -> None:
    with pytest.raises(InputError, match="no identity classifier, got head 'id'"):
        spec(load_recipe("fairmot"), "full", "sgd")


def test_stacked_outputs_are_refused() -> None:
    with pytest.raises(InputError, match="num_stacks=2; set num_stacks = 1"):
        spec(load_recipe("mot17", num_stacks=2, finetune=None), "full", "sgd")


def test_a_recipe_says_its_steps() -> None:
    assert list(step_graphs(load_recipe("mot17"))) == ["head_step_full_sgd"]
    assert not step_graphs(load_recipe("coco"))
    chosen = with_steps(load_recipe("coco"), ["last.adamw", "full.sgd", "last.adamw"])
    assert list(step_graphs(chosen)) == ["head_step_last_adamw", "head_step_full_sgd"]


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(InputError, match=r"head step 'full\.adam': unknown; did you mean 'full\.adamw'"):
        with_steps(load_recipe("mot17"), ["full.adam"])


def test_activated_heads_are_trained_before_their_activation() -> None:
    recipe = _recipe("mot17")
    applied = recipe.model_copy(update={"activation": {"hm": "applied"}})
    arrays = step_cases(recipe, "full", "sgd", seed=0)["started"]
    graph, tensors = GRAPHS["head_step_full_sgd"], _in_float64(arrays)
    raw, other = (graph.module(one, frozenset())(tensors)["loss"] for one in (recipe, applied))
    assert float(raw) == float(other)


def test_only_the_last_convolution_is_a_parameter_of_scope_last() -> None:
    recipe = load_recipe("mot17")
    full, last = (parameter_dims(recipe, scope) for scope in SCOPES)
    assert len(full) == 20
    assert set(last) == {name for name in full if "_2_" in name}
    assert last["ltrb_amodal_2_weight"] == (4, "K_ltrb_amodal", 1, 1)


def test_clipping_keeps_small_gradients_and_shortens_large_ones() -> None:
    recipe = _recipe("mot17")
    graph = GRAPHS["head_step_full_sgd"]
    arrays = step_cases(recipe, "full", "sgd", seed=0)["clipped"]
    norms = {}
    for clip in (0.5, 1e9):
        table = recipe.finetune
        assert table is not None
        other = recipe.model_copy(
            update={"finetune": table.model_copy(update={"clip_norm": clip, "weight_decay": 0.0})}
        )
        tensors = _in_float64(arrays)
        given = graph.module(other, frozenset())(tensors)
        moves = [
            given[f"new_momentum_{name}"] - 0.9 * tensors[f"momentum_{name}"] for name in parameter_dims(other, "full")
        ]
        norms[clip] = float(torch.cat([move.flatten() for move in moves]).norm()), float(given["grad_norm"])
    assert norms[0.5][0] == pytest.approx(0.5, rel=1e-6)
    assert norms[1e9][0] == pytest.approx(norms[1e9][1], rel=1e-9)
    assert norms[0.5][1] == norms[1e9][1] > 0.5


def test_the_signature_has_a_size_for_every_open_dimension() -> None:
    signature = spec(load_recipe("mot17"), "full", "sgd")
    assert signature.sizes["F"] == 64
    assert signature.sizes["K_tracking"] == 256
    assert replace(signature).input("param_wh_2_weight").dims == (2, "K_wh", 1, 1)
