"""What each adversarial case promises, on a small recipe with several classes and two stacks."""

import itertools
from typing import get_args

import ml_dtypes
import numpy as np
import pytest

from lossrt.export.cases import CASES, case_arrays, scene_source
from lossrt.models import GRAPHS
from lossrt.recipe import LossKind, load_recipe, prediction_name
from lossrt.spec import check_arrays
from lossrt.validators.oracle.table import ORACLES

SMALL = {"input": (136, 240), "max_objs": 32, "batch": 2}
RECIPE = load_recipe(
    "mot17",
    **SMALL,
    classes=3,
    num_stacks=2,
    finetune=None,
    heads={"hm": 3, "reg": 2, "wh": 2, "tracking": 2, "ltrb_amodal": 4},
)
APPLIED = RECIPE.model_copy(update={"activation": {"hm": "applied"}})
NAMES = [name for name, case in CASES.items() if case.graphs is not None and case.head is None]


def make(name, recipe=RECIPE, batch=1, seed=0):
    return case_arrays(name, recipe, batch=batch, source=scene_source(recipe, seed=seed))


def losses(arrays, recipe=RECIPE):
    return {key: float(part.value) for key, part in ORACLES["generic_loss"](recipe, arrays).items()}


def at_objects(arrays, name):
    image, slot = np.nonzero(arrays["mask"])
    flat = arrays[name].reshape(*arrays[name].shape[:2], -1)
    return flat[image, :, arrays["ind"][image, slot]]


@pytest.mark.parametrize("recipe", [RECIPE, APPLIED], ids=["raw", "applied"])
@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_legal_seeded_and_the_right_size(name, recipe):
    arrays, again = make(name, recipe, batch=2), make(name, recipe, batch=2)
    other = make(name, recipe, batch=2, seed=1)
    check_arrays(GRAPHS["generic_loss"].spec(recipe), arrays)
    assert {key for key in arrays if not np.array_equal(arrays[key], again[key], equal_nan=True)} == set()
    assert any(not np.array_equal(arrays[key], other[key], equal_nan=True) for key in arrays)
    assert arrays["mask"].sum() > 3
    if recipe is APPLIED and name != "non_finite":
        assert ((arrays["pred_hm"] >= np.float32(1e-4)) & (arrays["pred_hm"] <= np.float32(1 - 1e-4))).all()


def test_graphs_of_the_table_exist():
    known = {"gather_feat", "generic_loss", *get_args(LossKind)}
    assert {graph for case in CASES.values() for graph in (*(case.graphs or ()), *case.whole)} <= known


def test_only_the_total_keeps_the_whole_batch():
    recipe = load_recipe("mot17")
    assert CASES["nominal"].images("generic_loss", recipe) == 10
    assert CASES["nominal"].images("fast_focal", recipe) == 2


def test_cancelling_differences_are_tiny_and_exact():
    arrays = make("cancelling")
    for head in ("reg", "wh", "tracking", "ltrb_amodal"):
        where = arrays[f"{head}_mask"][np.nonzero(arrays["mask"])] == 1
        wanted = arrays[head][np.nonzero(arrays["mask"])][where]
        for stack in range(2):
            said = at_objects(arrays, prediction_name(head, stack))[where]
            assert np.abs(wanted).min() >= 1e4
            assert 0 < np.abs(said - wanted).mean() < 0.1
            assert np.array_equal(
                (said - wanted).astype(np.float64), said.astype(np.float64) - wanted.astype(np.float64)
            )


def test_cancelling_heatmap_costs_as_much_at_the_high_clamp_as_at_the_low_one():
    arrays = make("cancelling")
    positives = int(arrays["mask"].sum())
    assert 0.3 * positives < (arrays["hm"] == 0).sum() < 3 * positives
    image, slot = np.nonzero(arrays["mask"])
    at = arrays["pred_hm"].reshape(1, 3, -1)[image, arrays["cat"][image, slot], arrays["ind"][image, slot]]
    assert (at == 30).all()


def test_thinned_masks_differ_and_cannot_be_counted_in_bfloat16():
    recipe = load_recipe("mot17", input=(136, 240))
    arrays = make("cancelling", recipe, batch=2)
    masks = [arrays[f"{head}_mask"][..., 0] for head in ("reg", "wh", "tracking", "ltrb_amodal")]
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(masks))
    counts = arrays["ltrb_amodal_mask"].sum((0, 1), dtype=np.float32)
    for count in np.concatenate([counts, np.cumsum(counts)]):
        assert count.astype(ml_dtypes.bfloat16).astype(np.float32) != count


def test_uniform_says_the_same_everywhere():
    arrays = make("uniform")
    for name in ("pred_reg", "reg", "pred_ltrb_amodal_stack1"):
        assert np.unique(arrays[name]).size == 1
    assert np.unique(arrays["pred_hm"]).size == np.unique(arrays["hm"]).size == 2
    found = losses(arrays)
    parts = [RECIPE.weights[head] * found[f"loss_{head}"] for head in ("reg", "wh", "tracking", "ltrb_amodal")]
    assert max(parts) < 1.001 * min(parts)
    assert found["loss_hm"] < min(parts)
    narrow = arrays["pred_hm"].flat[0].astype(np.float16).astype(np.float32)
    assert abs(narrow / arrays["pred_hm"].flat[0] - 1) > 5e-5


def test_denormals_are_below_the_normal_range():
    arrays = make("denormals")
    for name in ("pred_hm", "pred_reg", "pred_wh_stack1", "reg", "ltrb_amodal"):
        values = np.abs(arrays[name][arrays[name] != 0])
        assert values.size
        assert values.max() < np.finfo(np.float32).smallest_normal


def test_huge_regressions_reach_1e4():
    found = losses(make("huge"))
    assert min(found[f"loss_{head}"] for head in ("reg", "wh", "tracking", "ltrb_amodal")) > 1e3


def test_one_pixel_objects_have_no_flank():
    arrays = make("one_pixel")
    assert set(np.unique(arrays["hm"])) == {0, 1}
    known = arrays["wh"][np.nonzero(arrays["mask"])]
    assert np.allclose(known, 1, atol=1e-4)
    assert np.unique(arrays["ind"]).size > 20


def test_all_classes_are_there():
    arrays = make("all_classes")
    assert set(arrays["cat"][arrays["mask"] == 1]) == {0, 1, 2}
    assert (arrays["hm"] == 1).any(axis=(2, 3)).all()


def test_clamped_objects_carry_the_loss():
    arrays = make("clamped")
    image, slot = np.nonzero(arrays["mask"])
    at = arrays["pred_hm"].reshape(1, 3, -1)[image, arrays["cat"][image, slot], arrays["ind"][image, slot]]
    assert set(at) == {-30}
    assert -np.log(1e-4) * 0.9 < losses(arrays)["loss_hm"] < -np.log(1e-4) * 1.3


def test_infinite_logits_cost_no_more_than_the_clamp():
    arrays = make("infinite")
    assert np.isinf(arrays["pred_hm"]).mean() > 0.005
    image, slot = np.nonzero(arrays["mask"])
    at = arrays["pred_hm"].reshape(1, 3, -1)[image, arrays["cat"][image, slot], arrays["ind"][image, slot]]
    assert set(at) == {-np.inf, np.inf}
    found = losses(arrays)
    assert np.isfinite(found["loss_hm"])
    assert {found[f"loss_{head}"] for head in ("reg", "wh", "tracking", "ltrb_amodal")} == {np.inf}


def test_non_finite_heads_have_fates_of_their_own():
    found = losses(make("non_finite"))
    assert np.isnan([found[key] for key in ("loss", "loss_hm", "loss_reg")]).all()
    assert np.isfinite(found["loss_wh"])
    assert found["loss_tracking"] == found["loss_ltrb_amodal"] == np.inf
    feat = at_objects(make("non_finite"), "pred_reg")
    assert all(kind(feat).any() for kind in (np.isnan, np.isposinf, np.isneginf, np.isfinite))
