"""Every named case has the property that it is named for, for one class and for several, raw and applied, stacked."""

import numpy as np
import pytest

from lossrt.export.cases import CASES, CaseSource, case_arrays, scene_source
from lossrt.recipe import Recipe, load_recipe, prediction_name
from lossrt.spec import check_arrays
from tests.models.samples import signature
from tests.validators.samples import recipe_of

SMALL = load_recipe("mot17", input=(136, 240), max_objs=32, batch=3)
CLASSES = recipe_of(input=[136, 240], max_objs=16, batch=2)
STACKED = recipe_of(input=[64, 96], max_objs=9, batch=2, num_stacks=2, activation={"hm": "applied"})
TIGHT = recipe_of(max_objs=2, batch=1, weights={"hm": 1.0, "reg": 1.0, "wh": 0.0, "tracking": 1.0, "ltrb_amodal": 0.1})
RECIPES = {"one-class": SMALL, "three-classes": CLASSES, "stacked-applied": STACKED, "two-slots": TIGHT}
FAMILIAR = ("nominal", "empty", "full", "duplicates", "border", "saturated", "ignore", "single")

SEVERAL_SLOTS = {name: recipe for name, recipe in RECIPES.items() if recipe is not TIGHT}

recipes = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def make(name: str, recipe: Recipe, batch: int = 2, seed: int = 0):
    return case_arrays(name, recipe, batch=batch, source=scene_source(recipe, seed=seed))


def regression_masks(arrays, recipe: Recipe):
    return [arrays[f"{head}_mask"] for head in recipe.active_heads if head != "hm"]


def test_the_familiar_cases_come_first() -> None:
    assert tuple(CASES)[:8] == FAMILIAR
    assert [CASES[name].images("reg_weighted_l1", SMALL) for name in FAMILIAR] == [2, 2, 2, 2, 2, 2, 2, 1]
    assert CASES["nominal"].images("generic_loss", SMALL) == SMALL.batch
    assert all(CASES[name].concerns(graph, SMALL) for name in FAMILIAR for graph in ("gather_feat", "generic_loss"))


@recipes
@pytest.mark.parametrize("name", FAMILIAR)
def test_inputs_are_legal_float32_and_of_their_batch(name: str, recipe: Recipe) -> None:
    for batch in (1, 2):
        arrays = make(name, recipe, batch)
        spec = signature("generic_loss", recipe)
        assert check_arrays(spec, arrays)["B"] == batch
        for tensor in spec.inputs:
            array = arrays[tensor.name]
            assert array.dtype == tensor.dtype
            assert np.isfinite(array).all()
            if array.dtype == np.float32 and tensor.low is not None:
                assert ((array >= np.float32(tensor.low)) & (array <= np.float32(tensor.high))).all(), tensor.name


@recipes
@pytest.mark.parametrize("name", FAMILIAR)
def test_a_seed_decides_everything(name: str, recipe: Recipe) -> None:
    first, again, other = make(name, recipe), make(name, recipe), make(name, recipe, seed=1)
    assert first.keys() == again.keys() == other.keys()
    assert all(first[key].tobytes() == again[key].tobytes() for key in first)
    assert any(first[key].tobytes() != other[key].tobytes() for key in first)


@pytest.mark.parametrize("recipe", SEVERAL_SLOTS.values(), ids=SEVERAL_SLOTS)
def test_nominal_has_objects_and_a_heatmap_with_their_peaks(recipe: Recipe) -> None:
    arrays = make("nominal", recipe, batch=recipe.batch)
    assert arrays["hm"].shape[0] == recipe.batch
    assert (arrays["mask"].sum(axis=1) >= 1).all()
    image, slot = np.nonzero(arrays["mask"])
    flat = arrays["hm"].reshape(*arrays["hm"].shape[:2], -1)
    assert (flat[image, arrays["cat"][image, slot], arrays["ind"][image, slot]] == 1).all()
    assert all(mask.sum() > 0 for mask in regression_masks(arrays, recipe))


@recipes
def test_empty_has_no_object(recipe: Recipe) -> None:
    arrays = make("empty", recipe)
    for mask in (arrays["mask"], *regression_masks(arrays, recipe)):
        assert mask.sum() == 0
    assert arrays["hm"].max() == 0


@recipes
def test_full_uses_every_slot(recipe: Recipe) -> None:
    arrays = make("full", recipe)
    assert all((mask == 1).all() for mask in regression_masks(arrays, recipe))
    assert arrays["mask"].sum() == arrays["mask"].size - 1, "an odd count, which bfloat16 rounds"
    assert len(np.unique(arrays["ind"])) > 1


@pytest.mark.parametrize("recipe", SEVERAL_SLOTS.values(), ids=SEVERAL_SLOTS)
def test_duplicates_share_cells_among_valid_slots(recipe: Recipe) -> None:
    arrays = make("duplicates", recipe)
    for image in range(2):
        ind = arrays["ind"][image][arrays["mask"][image] == 1]
        assert len(ind) >= 2
        assert len(np.unique(ind)) <= (len(ind) + 1) // 2
    image, slot = np.nonzero(arrays["mask"])
    targets = arrays["tracking"][image, slot]
    assert len(np.unique(targets, axis=0)) > 1, "objects on one cell have targets of their own"


@recipes
def test_border_has_the_first_and_the_last_pixel(recipe: Recipe) -> None:
    arrays = make("border", recipe)
    height, width = recipe.map_size
    for image in range(2):
        valid = set(arrays["ind"][image][arrays["mask"][image] == 1].tolist())
        assert {0, height * width - 1} <= valid
        if recipe.max_objs >= 4:
            assert {width - 1, (height - 1) * width} <= valid
    for mask in regression_masks(arrays, recipe):
        assert (mask[:, : min(4, recipe.max_objs)] == 1).all()


@recipes
def test_saturated_sits_on_the_clamp_on_both_sides(recipe: Recipe) -> None:
    arrays = make("saturated", recipe)
    applied = recipe.activation.get("hm") == "applied"
    values = np.array([1e-4, 1 - 1e-4] if applied else [-30, 30], np.float32)
    for stack in range(recipe.num_stacks):
        logits = arrays[prediction_name("hm", stack)]
        assert np.unique(logits).tolist() == values.tolist()
        assert 0.4 < (logits == values[1]).mean() < 0.6


@pytest.mark.parametrize("recipe", [SMALL, CLASSES], ids=["one-class", "three-classes"])
def test_ignore_has_pixels_of_1_that_no_object_explains(recipe: Recipe) -> None:
    arrays = make("ignore", recipe)
    image, slot = np.nonzero(arrays["mask"])
    explained = np.zeros((2, recipe.classes, arrays["hm"][0, 0].size), bool)
    explained[image, arrays["cat"][image, slot], arrays["ind"][image, slot]] = True
    unexplained = (arrays["hm"].reshape(explained.shape) == 1) & ~explained
    assert unexplained.any(axis=(1, 2)).all(), "in every image"
    assert unexplained.sum() > 10
    nominal = make("nominal", recipe)
    assert (nominal["hm"] == 1).sum() <= nominal["mask"].sum()


@recipes
def test_single_has_one_object_an_image(recipe: Recipe) -> None:
    arrays = make("single", recipe, batch=1)
    assert arrays["mask"].sum() == 1
    for mask in regression_masks(arrays, recipe):
        assert mask.sum() == mask.shape[2]


@recipes
def test_only_nominal_takes_what_was_recorded(recipe: Recipe) -> None:
    made = scene_source(recipe, seed=0)
    names = [tensor.name for tensor in signature("generic_loss", recipe).inputs if tensor.role == "prediction"]
    nominal = make("nominal", recipe)
    recorded = {name: np.full_like(nominal[name][:1], 0.25) for name in names}
    source = CaseSource(made.pairs, 0, "mine", recorded)
    arrays = case_arrays("nominal", recipe, batch=3, source=source)
    for name in names:
        assert arrays[name].shape[0] == 3
        assert (arrays[name] == 0.25).all()
    full = case_arrays("full", recipe, batch=2, source=source)
    assert not any((full[name] == 0.25).all() for name in names)


def test_frames_are_used_in_turn_to_fill_the_batch() -> None:
    made = scene_source(SMALL, seed=0)
    source = CaseSource(made.pairs[:2], 0, "two frames")
    arrays = case_arrays("nominal", SMALL, batch=5, source=source)
    for image in range(5):
        np.testing.assert_array_equal(arrays["ind"][image], arrays["ind"][image % 2])
    assert (arrays["ind"][0] != arrays["ind"][1]).any()
