"""The gradient oracle against finite differences of the value oracle, PyTorch's autograd, and closed forms."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lossrt.recipe import Recipe
from lossrt.validators.oracle.generic import generic_loss
from lossrt.validators.oracle.gradients import loss_gradients
from lossrt.validators.oracle.table import ORACLES
from tests.validators.batches import FAMILY, Arrays, random_batch
from tests.validators.samples import recipe_of, sample_batch

STEP = 1e-5
every_recipe = pytest.mark.parametrize("name", FAMILY)


def widened(arrays: Arrays) -> Arrays:
    return {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in arrays.items()}


def shared_pixels(recipe: Recipe, seed: int, *, objects: float = 0.6) -> Arrays:
    """Draw a batch whose slots share a few pixels."""
    arrays = random_batch(recipe, seed, objects=objects)
    return arrays | {name: arrays[name] % 4 for name in ("ind", "hp_ind") if name in arrays}


def total(recipe: Recipe, arrays: Arrays) -> float:
    return float(generic_loss(recipe, arrays)["loss"].value)


def some_elements(gradient: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return some elements of a gradient that are not 0, and one that is."""
    live, dead = np.flatnonzero(gradient), np.flatnonzero(gradient == 0)
    return np.concatenate([rng.permutation(live)[:4], rng.permutation(dead)[:1]])


@every_recipe
@pytest.mark.parametrize("objects", [0.0, 0.7], ids=["no-object", "some"])
def test_finite_differences_of_the_value_agree(name: str, objects: float) -> None:
    recipe = FAMILY[name]
    arrays = widened(shared_pixels(recipe, 3, objects=objects))
    if recipe.family == "fairmot" and "id" in recipe.active_heads and objects == 0:
        # The total is NaN without an identity; the detection's gradients are not.
        recipe = recipe.model_copy(update={"weights": recipe.weights | {"id": 0.0}})
    rng = np.random.default_rng(0)
    # What rounding leaves of a difference of two totals.
    lost = 8 * np.finfo(np.float64).eps * abs(total(recipe, arrays)) / STEP
    for output, estimate in loss_gradients(recipe, arrays).items():
        pred = output.removeprefix("grad_")
        for place in some_elements(estimate.value, rng):
            values = []
            for sign in (-1, 1):
                moved = arrays[pred].copy()
                moved.flat[place] += sign * STEP
                values.append(total(recipe, arrays | {pred: moved}))
            slope = (values[1] - values[0]) / (2 * STEP)
            assert slope == pytest.approx(float(estimate.value.flat[place]), rel=2e-5, abs=2e-9 + lost), output


@every_recipe
@pytest.mark.parametrize("objects", [0.0, 0.6, 1.0], ids=["no-object", "some", "all-slots"])
def test_pytorchs_autograd_in_float64_agrees(name: str, objects: float) -> None:
    torch = pytest.importorskip("torch")
    from lossrt.models.reference.wire import REFERENCES
    from tests.models.samples import gradients, tensors_of, with_gradients

    recipe = FAMILY[name]
    arrays = shared_pixels(recipe, 5, objects=objects)
    tensors = with_gradients(tensors_of(arrays, torch.float64))
    exact = gradients(REFERENCES["generic_loss"](recipe, tensors)["loss"], tensors)
    for output, estimate in loss_gradients(recipe, arrays).items():
        theirs = exact[output.removeprefix("grad_")].numpy()
        np.testing.assert_allclose(estimate.value, theirs, rtol=1e-9, atol=1e-14 + 1e-12 * np.abs(theirs).max())


@every_recipe
def test_the_scale_covers_the_value_and_is_0_where_nothing_is_summed(name: str) -> None:
    recipe = FAMILY[name]
    for output, estimate in loss_gradients(recipe, random_batch(recipe, 1)).items():
        assert estimate.value.shape == estimate.scale.shape
        assert (estimate.scale >= np.abs(estimate.value) * (1 - 1e-12)).all(), output
        assert (estimate.scale == 0).any() or output.startswith("grad_pred_hm"), output
        assert estimate.terms >= 1


def test_slots_that_share_a_pixel_add_up() -> None:
    recipe = recipe_of()
    arrays = sample_batch(recipe, objects=1.0)
    arrays["ind"][0] = 7
    arrays["reg"][0] = -100
    gradient = loss_gradients(recipe, arrays)["grad_pred_reg"]
    slots = recipe.max_objs
    count = arrays["reg_mask"].astype(np.float64).sum() + 1e-4
    np.testing.assert_allclose(gradient.value[0].reshape(2, -1)[:, 7], slots / count, rtol=1e-14)
    assert np.count_nonzero(gradient.value[0]) == 2
    assert gradient.terms > slots


def test_a_saturated_logit_has_no_gradient() -> None:
    recipe = recipe_of()
    arrays = sample_batch(recipe)
    arrays["pred_hm"][:, 0] = 30
    arrays["pred_hm"][:, 1] = -np.inf
    gradient = loss_gradients(recipe, arrays)["grad_pred_hm"]
    assert not gradient.value[:, :2].any()
    assert not gradient.scale[:, :2].any()
    assert gradient.value[:, 2].any()


def test_a_nan_stays_where_it_is() -> None:
    recipe = recipe_of()
    arrays = sample_batch(recipe)
    arrays["pred_hm"][0, 0, 0, 0] = np.nan
    gradient = loss_gradients(recipe, arrays)["grad_pred_hm"].value
    assert np.flatnonzero(np.isnan(gradient)).tolist() == [0]


@pytest.mark.parametrize("side", [-1, 1])
def test_either_side_of_the_clamp_is_right_next_to_it(side: int) -> None:
    recipe = recipe_of()
    arrays = sample_batch(recipe)
    edge = side * math.log((1 - 1e-4) / 1e-4)
    arrays["pred_hm"][0, 0, 0, 0] = edge
    arrays["hm"][0, 0, 0, 0] = 0
    gradient = loss_gradients(recipe, arrays)["grad_pred_hm"]
    inside = loss_gradients(recipe, arrays | {"pred_hm": arrays["pred_hm"] - np.float32(1e-3 * side)})["grad_pred_hm"]
    allowed = gradient.scale[0, 0, 0, 0] * math.sqrt(gradient.terms) * 2.0**-24
    assert allowed > abs(inside.value[0, 0, 0, 0])


def test_heads_without_weight_have_no_gradient() -> None:
    recipe = recipe_of(weights={"hm": 1.0, "reg": 0.0, "wh": 0.1, "tracking": 0.0, "ltrb_amodal": 0.0})
    assert list(loss_gradients(recipe, sample_batch(recipe))) == ["grad_pred_hm", "grad_pred_wh"]


def test_the_table_gives_the_losses_and_the_gradients() -> None:
    recipe = FAMILY["ddd-two-stacks"]
    outputs = list(ORACLES["generic_loss_grad"](recipe, random_batch(recipe)))
    heads = list(recipe.heads)
    assert outputs[: len(heads) + 1] == ["loss", *(f"loss_{head}" for head in heads)]
    assert outputs[len(heads) + 1 :] == [f"grad_pred_{head}{stack}" for stack in ("", "_stack1") for head in heads]
