"""Every case is made for every preset, and what only some heads need shows what it promises."""

import numpy as np
import pytest

from lossrt.export.cases import CASES, case_arrays, scene_source
from lossrt.models import GRAPHS, graph_names
from lossrt.recipe import load_recipe, preset_names
from lossrt.spec import check_arrays
from lossrt.validators.oracle.table import ORACLES

OF_A_HEAD = {
    "one_bin": "rot",
    "joints_off": "hps",
    "hidden_joints": "hm_hp",
    "far_and_near": "dep",
    "absent_identity": "id",
}
FINITE = set(CASES) - {"infinite", "non_finite"}


def small(name, **changes):
    return load_recipe(name, input=(96, 160), batch=2, max_objs=24, **changes)


def make(case, recipe, batch=2):
    return case_arrays(case, recipe, batch=batch, source=scene_source(recipe, seed=0))


def losses(case, recipe):
    return {
        key: float(part.value)
        for key, part in ORACLES["generic_loss"](recipe, make(case, recipe)).items()
        if part.value.shape == ()
    }


@pytest.mark.parametrize("name", preset_names())
def test_every_case_is_legal_for_every_preset(name):
    recipe = small(name)
    for case, facts in CASES.items():
        graphs = [graph for graph in graph_names(recipe) if facts.concerns(graph, recipe)]
        if not graphs:
            continue
        arrays = make(case, recipe)
        arrays["feat"] = arrays[GRAPHS["gather_feat"].stand_ins(recipe)["feat"]]
        for graph in graphs:
            check_arrays(GRAPHS[graph].spec(recipe), arrays)
        totals = {key: part.value for key, part in ORACLES["generic_loss"](recipe, arrays).items()}
        nobody = case == "empty" and name == "fairmot"  # an identity loss over nobody is 0/0, as in PyTorch
        if case in FINITE and not nobody:
            assert all(np.isfinite(value).all() for value in totals.values()), case
        if case == "non_finite":
            assert not np.isfinite(totals["loss"])


@pytest.mark.parametrize("case", OF_A_HEAD)
def test_a_case_of_a_head_is_for_recipes_with_that_head(case):
    for name in preset_names():
        recipe = small(name)
        assert CASES[case].concerns("generic_loss", recipe) == (OF_A_HEAD[case] in recipe.heads)
        assert not CASES[case].concerns("gather_feat", recipe)
    without = small("kitti", weights={**small("kitti").weights, "rot": 0.0})
    assert not CASES["one_bin"].concerns("bin_rot", without)


@pytest.mark.parametrize("name", preset_names())
def test_full_knows_every_target(name):
    arrays = make("full", small(name))
    counted = [key for key in ("mask", "hm_hp_mask") if key in arrays]
    assert all((array == 1).all() for key, array in arrays.items() if key.endswith("mask") and key not in counted)
    assert all(arrays[key].sum() == arrays[key].size - 1 and arrays[key][-1, -1] == 0 for key in counted)
    assert arrays.get("ids", np.zeros(1)).min() >= 0


def test_one_bin_costs_the_other_nothing():
    recipe = small("kitti")
    arrays = make("one_bin", recipe)
    assert np.isnan(arrays["pred_rot"][:, 6:]).all()
    assert arrays["rotbin"][..., 0].sum() == arrays["rot_mask"].sum() > 10
    assert not arrays["rotbin"][..., 1].any()
    assert np.isfinite(losses("one_bin", recipe)["loss_rot"])


def test_joints_off_the_map_are_not_asked_for():
    recipe = small("coco_pose")
    arrays = make("joints_off", recipe)
    seen = arrays["hps_mask"].reshape(2, -1, 17, 2)[..., 0].sum(axis=2)[arrays["mask"] > 0]
    assert (seen == 0).any()
    assert (seen == 17).any()
    assert ((seen > 0) & (seen < 17)).any()
    np.testing.assert_array_equal(arrays["hm_hp_mask"].reshape(2, -1, 17).sum(axis=2)[arrays["mask"] > 0], seen)


def test_hidden_joints_are_none_to_the_heatmap_and_all_to_the_offsets():
    arrays = make("hidden_joints", small("coco_pose"))
    assert not arrays["hm_hp_mask"].any()
    assert not arrays["hp_offset_mask"].any()
    assert arrays["hps_mask"].sum() > 100
    assert (arrays["hm_hp"] == 1).sum() > 100


@pytest.mark.parametrize(("activation", "low", "high"), [("raw", -12.0, 12.0), ("applied", 0.0, 6e4)])
def test_depths_are_at_both_ends(activation, low, high):
    recipe = small("kitti", activation={"dep": activation})
    arrays = make("far_and_near", recipe)
    assert set(np.unique(arrays["pred_dep"]).tolist()) == {low, high}
    assert losses("far_and_near", recipe)["loss_dep"] > 1e4


def test_nobody_has_the_identity_that_the_classifier_is_sure_of():
    recipe = small("fairmot")
    arrays = make("absent_identity", recipe)
    assert arrays["id_bias"].argmax() == 545
    assert 545 not in arrays["ids"]
    assert (arrays["ids"][1] == -1).all()
    assert losses("absent_identity", recipe)["loss_id"] > 10


@pytest.mark.parametrize("name", ["centernet_ctdet", "fairmot", "centerpoint"])
def test_ignore_has_pixels_of_1_for_the_relatives_too(name):
    arrays = make("ignore", small(name))
    assert ((arrays["hm"] == 1).sum(axis=(1, 2, 3)) > arrays["mask"].sum(axis=1)).all()


def test_duplicates_share_the_cells_of_joints():
    arrays = make("duplicates", small("coco_pose"))
    slots = np.flatnonzero(arrays["mask"][0])
    joints = arrays["hp_ind"][0].reshape(-1, 17)
    np.testing.assert_array_equal(joints[slots[0]], joints[slots[1]])


@pytest.mark.parametrize("name", ["kitti", "coco_pose", "centerpoint"])
def test_cancelling_and_uniform_reach_every_regression(name):
    recipe = load_recipe(name, input=(256, 256), batch=2, max_objs=24)
    found, alike = losses("cancelling", recipe), losses("uniform", recipe)
    for head in recipe.active_heads:
        if recipe.loss_kind(head) == "reg_weighted_l1":
            assert 0 < found[f"loss_{head}"] < 0.1, head
            assert alike[f"loss_{head}"] * recipe.weights[head] == pytest.approx(64.2752, rel=1e-3), head
