"""Two forms of every loss that share no code, PyTorch's and numpy's, on the same arrays in float64."""

import numpy as np
import pytest
import torch

from lossrt.models.reference.wire import REFERENCES
from lossrt.recipe import Recipe
from lossrt.validators.oracle.table import ORACLES
from tests.models.samples import tensors_of
from tests.validators.batches import FAMILY, random_batch

OBJECTS = pytest.mark.parametrize("objects", [0.0, 0.3, 1.0], ids=["empty", "some", "all-slots"])
TOTALS = ("generic_loss", "generic_loss_grad")
recipes = pytest.mark.parametrize("recipe", FAMILY.values(), ids=FAMILY)


def graphs_of(recipe: Recipe) -> list[str]:
    return [*dict.fromkeys(recipe.loss_kind(head) for head in recipe.active_heads), *TOTALS]


def assert_same(recipe: Recipe, arrays: dict[str, np.ndarray], graph: str, rel: float = 1e-11) -> None:
    expected = REFERENCES[graph](recipe, tensors_of(arrays, torch.float64))
    found = ORACLES[graph](recipe, arrays)
    assert list(found) == list(expected)
    for name, estimate in found.items():
        assert estimate.value.shape == estimate.scale.shape == tuple(expected[name].shape), name
        # Where terms cancel, either form is off by its scale, not by its value.
        atol = rel * float(np.nan_to_num(estimate.scale).max(initial=0.0)) + 1e-17
        np.testing.assert_allclose(expected[name].numpy(), estimate.value, rtol=rel, atol=atol, err_msg=name)


def read_pixels(recipe: Recipe, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Mark the pixels that a slot reads, [B, 1, H, W]."""
    read = np.zeros((recipe.batch, recipe.map_size[0] * recipe.map_size[1]), dtype=np.bool_)
    np.put_along_axis(read, arrays["ind"], True, axis=1)
    return read.reshape(recipe.batch, 1, *recipe.map_size)


def test_the_tables_hold_the_same_graphs_and_the_samples_every_loss() -> None:
    losses = {graph for graph in ORACLES if not graph.startswith("head_step_")}  # tests/models/test_head_step.py
    assert losses == set(REFERENCES)
    assert {graph for recipe in FAMILY.values() for graph in graphs_of(recipe)} | {"gather_feat"} == losses


@recipes
@OBJECTS
def test_same_values_over_seeds(recipe: Recipe, objects: float) -> None:
    for seed in range(5):
        arrays = random_batch(recipe, seed, objects=objects)
        for graph in graphs_of(recipe):
            assert_same(recipe, arrays, graph)


@recipes
def test_same_values_far_out(recipe: Recipe) -> None:
    # Upstream's 1 − σ(x) loses what lies below the clamp's own ulp: 1e-16 of 1e-4.
    for seed in range(3):
        for graph in TOTALS:
            assert_same(recipe, random_batch(recipe, seed, spread=40.0), graph, rel=1e-9)


@recipes
def test_float32_stays_within_the_scale(recipe: Recipe) -> None:
    """What the scale is for: PyTorch's own rounding stays below some √n·u·scale, whatever cancels."""
    for seed, spread in enumerate((0.3, 3.0, 12.0)):
        arrays = random_batch(recipe, seed, spread=spread)
        rounded = REFERENCES["generic_loss"](recipe, tensors_of(arrays))
        for name, part in ORACLES["generic_loss"](recipe, arrays).items():
            if name in {"loss", "loss_hm", "loss_hm_hp"}:
                continue  # upstream's log(1 − σ(x)) is off by far more in float32, its reason to be rewritten
            allowed = np.maximum(np.sqrt(part.terms) * 2.0**-24 * part.scale, np.spacing(np.float32(part.value)))
            assert (np.abs(rounded[name].numpy() - part.value) <= 2 * allowed).all(), name


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "minus-inf"])
@recipes
def test_non_finite_predictions_come_out_alike(recipe: Recipe, bad: float) -> None:
    for seed, head in enumerate(recipe.active_heads):
        if recipe.is_applied(head) and abs(bad) == np.inf:
            continue
        arrays = random_batch(recipe, seed)
        rng = np.random.default_rng(seed)
        pred = arrays[f"pred_{head}"]
        pred[rng.random(pred.shape) < 0.02] = bad
        if head == "dep":
            # Upstream activates the whole map: NaN that no slot reads has the gradient 0·NaN there.
            pred[:] = np.where(read_pixels(recipe, arrays), pred, 1)
        for graph in TOTALS:
            assert_same(recipe, arrays, graph, rel=1e-9)


@recipes
def test_non_finite_targets_come_out_alike(recipe: Recipe) -> None:
    for seed, head in enumerate(recipe.active_heads):
        if head == "id":
            continue
        for bad in (np.nan, np.inf):
            arrays = random_batch(recipe, seed)
            target = arrays["rotres" if head == "rot" else head]
            target[np.random.default_rng(seed).random(target.shape) < 0.3] = bad
            # Of infinite targets upstream's gradients are NaN by 0·∞, which is nobody's rule.
            for graph in TOTALS if np.isnan(bad) else TOTALS[:1]:
                assert_same(recipe, arrays, graph)
