"""The export-friendly losses against the reference and against loops: values, gradients, signatures."""

import math

import pytest
import torch

from lossrt.models import GRAPHS
from lossrt.models.reference.wire import REFERENCES
from tests.models import naive
from tests.models.samples import RECIPES, gradients, run, takes, tensors_of, with_gradients
from tests.validators.samples import recipe_of, sample_batch

LOSSES = ("fast_focal", "reg_weighted_l1", "generic_loss")
OPEN = {"batch-open": ("B",), "objects-open": ("B", "M"), "all-open": ("B", "H", "M", "W")}

PAIRS = {
    f"{graph}-{name}": (graph, recipe) for graph in LOSSES for name, recipe in RECIPES.items() if takes(graph, recipe)
}

pairs = pytest.mark.parametrize(("graph", "recipe"), PAIRS.values(), ids=PAIRS)
recipes = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


@recipes
@pytest.mark.parametrize("objects", [0.0, 0.6, 1.0], ids=["no-object", "some", "all-slots"])
def test_float64_equals_loops(recipe, objects) -> None:
    arrays = sample_batch(recipe, 11, objects=objects)
    losses = run("generic_loss", recipe, tensors_of(arrays, torch.float64))
    assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(
        naive.generic(recipe, arrays), rel=1e-12
    )
    assert all(loss.shape == () for loss in losses.values())


@pairs
def test_float32_stays_near_the_float64_reference(graph: str, recipe) -> None:
    for seed in range(20):
        arrays = sample_batch(recipe, seed, objects=seed / 19)
        exact = REFERENCES[graph](recipe, tensors_of(arrays, torch.float64))
        losses = run(graph, recipe, tensors_of(arrays))
        assert list(losses) == list(exact)
        for name, loss in losses.items():
            assert loss.dtype == torch.float32
            assert float(loss) == pytest.approx(float(exact[name]), rel=1e-6), (seed, name)


@pytest.mark.parametrize("dynamic", OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("recipe", [RECIPES["three-classes"], RECIPES["padded-rows"]], ids=["plain", "padded-rows"])
def test_open_dimensions_change_the_order_of_sums_only(recipe, dynamic) -> None:
    tensors = tensors_of(sample_batch(recipe), torch.float64)
    fixed = run("generic_loss", recipe, tensors)
    for name, loss in run("generic_loss", recipe, tensors, *dynamic).items():
        assert float(loss) == pytest.approx(float(fixed[name]), rel=1e-13)


@pairs
@pytest.mark.parametrize("objects", [0.0, 0.6], ids=["no-object", "some"])
def test_gradients_equal_the_references(graph: str, objects: float, recipe) -> None:
    tensors = tensors_of(sample_batch(recipe, 2, objects=objects, spread=6.0), torch.float64)
    mine, theirs = with_gradients(tensors), with_gradients(tensors)
    got = gradients(run(graph, recipe, mine)["loss"], mine)
    expected = gradients(REFERENCES[graph](recipe, theirs)["loss"], theirs)
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-9, atol=1e-15)
        assert torch.equal(got[name] == 0, gradient == 0), f"{name}: other zeros"


@pytest.mark.parametrize("graph", LOSSES)
def test_inputs_stay_as_they_are(graph: str) -> None:
    recipe = RECIPES["two-stacks"]
    tensors = tensors_of(sample_batch(recipe))
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    run(graph, recipe, tensors)
    REFERENCES[graph](recipe, tensors)
    for name, tensor in tensors.items():
        assert torch.equal(tensor, before[name]), name
        assert tensor._version == 0, f"{name}: written in place"


@pytest.mark.parametrize("head", ["hm", "reg", "ltrb_amodal"])
def test_nan_under_a_mask_of_0_comes_through_as_in_the_reference(head: str) -> None:
    recipe = recipe_of()
    tensors = tensors_of(sample_batch(recipe))
    tensors["ind"][0, 1], tensors["mask"][0, 1], tensors[f"{'reg' if head == 'hm' else head}_mask"][0, 1] = 0, 0, 0
    tensors[f"pred_{head}"][0, :, 0, 0] = math.nan
    losses, expected = run("generic_loss", recipe, tensors), REFERENCES["generic_loss"](recipe, tensors)
    assert {name for name, loss in losses.items() if loss.isnan()} == {"loss", f"loss_{head}"}
    assert {name for name, loss in expected.items() if loss.isnan()} == {"loss", f"loss_{head}"}


@pytest.mark.parametrize("graph", ["gather_feat", *LOSSES])
def test_outputs_and_inputs_are_the_specs(graph: str) -> None:
    recipe = RECIPES["two-stacks"]
    signature = GRAPHS[graph].spec(recipe)
    arrays = sample_batch(recipe) | {"feat": sample_batch(recipe)["pred_reg"]}
    tensors = tensors_of({tensor.name: arrays[tensor.name] for tensor in signature.inputs})
    assert list(run(graph, recipe, tensors)) == [output.name for output in signature.outputs]
    assert list(REFERENCES[graph](recipe, tensors)) == [output.name for output in signature.outputs]


@recipes
def test_constants_hold_every_number_of_the_loss(recipe) -> None:
    constants = GRAPHS["generic_loss"].constants(recipe)
    assert set(recipe.weights.values()) - {0.0, 1.0} <= set(constants)
    assert (1e-4 in constants) == (len(recipe.active_heads) > 1)
    for clamp in (math.log(9999), -math.log(9999)):
        assert any(constant == pytest.approx(clamp) for constant in constants) == (not recipe.activation)
