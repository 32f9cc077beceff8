"""Which arrays feed which loss, and what the totals of the relatives add up."""

import math

import ml_dtypes
import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.validators.oracle.table import ORACLES
from tests.validators.batches import FAMILY, random_batch

recipes = pytest.mark.parametrize("recipe", FAMILY.values(), ids=FAMILY)
ONE_STACK = {name: recipe for name, recipe in FAMILY.items() if recipe.num_stacks == 1}
one_stack = pytest.mark.parametrize("recipe", ONE_STACK.values(), ids=ONE_STACK)


def total_of(recipe: Recipe, arrays: dict[str, np.ndarray]) -> dict[str, float]:
    return {
        name: float(part.value)
        for name, part in ORACLES["generic_loss"](recipe, arrays).items()
        if not part.value.shape
    }


@recipes
def test_total_from_the_heads(recipe: Recipe) -> None:
    arrays = random_batch(recipe, 1)
    losses = total_of(recipe, arrays)
    parts = {head: recipe.weights[head] * losses[f"loss_{head}"] for head in recipe.active_heads}
    expected = sum(parts.values())
    if recipe.family == "fairmot":
        s_det, s_id, known = float(arrays["s_det"]), float(arrays["s_id"]), parts.pop("id", 0.0)
        expected = (math.exp(-s_det) * sum(parts.values()) + math.exp(-s_id) * known + s_det + s_id) / 2
    assert losses["loss"] == pytest.approx(expected, rel=1e-14)


@one_stack
def test_single_loss_graphs_compute_their_head(recipe: Recipe) -> None:
    arrays = random_batch(recipe, 2)
    losses = total_of(recipe, arrays)
    first: dict[str, str] = {}
    for head in recipe.active_heads:
        first.setdefault(recipe.loss_kind(head), head)
    for kind, head in first.items():
        subject = "reg" if kind == "reg_weighted_l1" and recipe.loss_kind("reg") == kind else head
        assert float(ORACLES[kind](recipe, arrays)["loss"].value) == losses[f"loss_{subject}"], kind


def test_single_loss_graphs_take_the_first_stack() -> None:
    recipe, arrays = FAMILY["ddd-two-stacks"], random_batch(FAMILY["ddd-two-stacks"])
    single = recipe.model_copy(update={"num_stacks": 1})
    assert float(ORACLES["bin_rot"](recipe, arrays)["loss"].value) == total_of(single, arrays)["loss_rot"]


def test_the_graph_of_regressions_prefers_reg() -> None:
    mot = FAMILY["ddd"].model_copy(
        update={"heads": {"hm": 3, "tracking": 2, "reg": 2}, "weights": dict.fromkeys(("hm", "tracking", "reg"), 1.0)}
    )
    arrays = random_batch(mot)
    losses = total_of(mot, arrays)
    assert float(ORACLES["reg_weighted_l1"](mot, arrays)["loss"].value) == losses["loss_reg"] != losses["loss_tracking"]
    del mot.heads["reg"]
    assert float(ORACLES["reg_weighted_l1"](mot, arrays)["loss"].value) == losses["loss_tracking"]


def test_a_graph_of_a_loss_that_no_head_has_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"graph 'bin_rot': recipe 'small' trains no head .* fast_focal, reg_weighted_l1"
    ):
        ORACLES["bin_rot"](FAMILY["pose"], {})


@recipes
def test_scales_bound_values_and_follow_shapes(recipe: Recipe) -> None:
    for seed, objects in enumerate((0.0, 0.3, 1.0)):
        for name, part in ORACLES["generic_loss"](recipe, random_batch(recipe, seed, objects=objects)).items():
            assert part.value.shape == part.scale.shape
            assert part.terms > 0
            bounded = part.scale * (1 + 1e-12) >= np.abs(part.value)
            assert (bounded | np.isnan(part.value)).all(), name


@recipes
def test_a_prediction_off_by_a_hundredth_shows(recipe: Recipe) -> None:
    """The scale is no larger than it must be: a fault of 1e-2 stands out of √n·u·scale, 8 times."""
    arrays = random_batch(recipe, 3, objects=0.8)
    plain = ORACLES["generic_loss"](recipe, arrays)
    for head in recipe.active_heads:
        name = f"pred_{head}"
        # The direction of an embedding is all that counts: one of its channels is off.
        fault = arrays[name].astype(np.float64)
        fault[:, : 1 if head == "id" else None] *= 0.99 if recipe.is_applied(head) else 1.01
        found = ORACLES["generic_loss"](recipe, arrays | {name: fault})[f"loss_{head}"]
        part = plain[f"loss_{head}"]
        assert abs(float(found.value - part.value)) > 8 * math.sqrt(part.terms) * 2.0**-24 * float(part.scale), head


@recipes
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["fp16", "bf16"])
def test_deployed_types_are_widened_as_they_are(recipe: Recipe, dtype: type) -> None:
    rounded = {k: v.astype(dtype) if v.dtype == np.float32 else v for k, v in random_batch(recipe).items()}
    wide = {k: v.astype(np.float64) if v.dtype == dtype else v for k, v in rounded.items()}
    narrow, exact = ORACLES["generic_loss"](recipe, rounded), ORACLES["generic_loss"](recipe, wide)
    for name, part in exact.items():
        np.testing.assert_array_equal(narrow[name].value, part.value)
        assert narrow[name].value.dtype == narrow[name].scale.dtype == np.float64


@pytest.mark.parametrize("family", ["centerpoint", "centerpoint-two-stacks"])
def test_channels_come_last_and_add_up(family: str) -> None:
    recipe = FAMILY[family]
    out = ORACLES["generic_loss"](recipe, random_batch(recipe))
    assert list(out)[-1] == "loss_anno_box_dims"
    dims = out["loss_anno_box_dims"]
    assert dims.value.shape == (recipe.heads["anno_box"],)
    assert float(out["loss_anno_box"].value) == pytest.approx(
        float(dims.value @ np.array(recipe.code_weights)), rel=1e-14
    )
    single = ORACLES["code_weighted_l1"](recipe, random_batch(recipe))
    assert list(single) == ["loss", "loss_dims"]


def test_joints_have_their_own_index_mask_and_class() -> None:
    recipe = FAMILY["pose"]
    arrays = random_batch(recipe)
    plain = total_of(recipe, arrays)
    moved = {
        name: np.roll(arrays[name], 1, axis=1)
        for name in ("hp_ind", "hm_hp_mask", "joint", "hp_offset", "hp_offset_mask")
    }
    assert total_of(recipe, arrays | moved) == pytest.approx(plain, rel=1e-13)
    for name, heads in {"hp_ind": {"hm_hp", "hp_offset"}, "joint": {"hm_hp"}, "hm_hp_mask": {"hm_hp"}}.items():
        found = total_of(recipe, arrays | {name: moved[name]})
        changed = {key for key, value in found.items() if value != pytest.approx(plain[key], rel=1e-9)}
        assert changed == {"loss"} | {f"loss_{head}" for head in heads}, name


def test_hp_offset_counts_only_with_hm_hp() -> None:
    pose = FAMILY["pose"]
    recipe = pose.model_copy(update={"weights": pose.weights | {"hm_hp": 0.0}})
    assert total_of(recipe, random_batch(pose))["loss_hp_offset"] == 0


def test_no_identity_in_the_batch_makes_the_joint_loss_nan() -> None:
    recipe = FAMILY["fairmot"]
    losses = total_of(recipe, random_batch(recipe, objects=0.0))
    assert {name for name, value in losses.items() if math.isnan(value)} == {"loss", "loss_id"}
    # Without its weight, what is left of the identity is the uncertainty's own term.
    assert math.isfinite(
        total_of(FAMILY["fairmot-id-removed"], random_batch(FAMILY["fairmot-id-removed"], objects=0.0))["loss"]
    )
