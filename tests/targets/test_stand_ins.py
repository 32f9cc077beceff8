import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from lossrt.errors import InputError
from lossrt.recipe import load_recipe, preset_names
from lossrt.targets.annotations import frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.predictions import half_trained_predictions, parameters, read_heads
from lossrt.targets.scenes import generated_scene
from lossrt.targets.stand_ins import depth_logits


@pytest.fixture(scope="module")
def said():
    """What the stand-in says at every object of a preset: head -> ([n, D], image, slot), with the targets."""

    def run(name, **changes):
        recipe = load_recipe(name, batch=2, **changes)
        batch = encode_batch(frame_pairs([generated_scene(recipe, frames=2, seed=5)]), recipe).arrays
        image, slot = np.nonzero(batch["mask"])
        cells = batch["ind"][image, slot]
        fields = half_trained_predictions(batch, recipe, seed=1)
        gathered = {
            head: field.reshape(*field.shape[:2], -1)[image, :, cells]
            for head, field in ((key.removeprefix("pred_"), value) for key, value in fields.items())
        }
        return gathered, {
            key: value[image, slot]
            for key, value in batch.items()
            if value.ndim > 1 and len(value[0]) == recipe.max_objs
        }

    return run


@pytest.mark.parametrize("name", preset_names())
def test_every_head_of_every_preset_has_a_map_that_its_seed_decides(name):
    recipe = load_recipe(name, input=(96, 128), batch=2)
    batch = encode_batch(frame_pairs([generated_scene(recipe, frames=2, seed=5)]), recipe).arrays
    one, two, other = (half_trained_predictions(batch, recipe, seed=seed) for seed in (1, 1, 2))
    assert list(one) == [f"pred_{head}" for head in recipe.active_heads]
    for head, channels in recipe.heads.items():
        field = one[f"pred_{head}"]
        assert field.shape == (2, channels, 24, 32)
        assert field.dtype == np.float32
        assert np.isfinite(field).all()
        np.testing.assert_array_equal(field, two[f"pred_{head}"])
        assert (field != other[f"pred_{head}"]).any()


def test_depth_logits_decode_to_the_depth(said):
    for depth in (0.1, 1.0, 7.5, 60.0, 5000.0):
        logit = float(depth_logits(np.array([depth], dtype=np.float32))[0])
        assert 1 / (1 / (1 + math.exp(-logit)) + 1e-6) - 1 == pytest.approx(depth, rel=1e-3)
    assert np.isfinite(depth_logits(np.array([0.0, -3.0, 1e6, 1e12], dtype=np.float32))).all()
    heads, targets = said("kitti")
    known = targets["dep_mask"][:, 0] > 0
    decoded = 1 / (1 / (1 + np.exp(-heads["dep"][:, 0].astype(np.float64))) + 1e-6) - 1
    assert np.median(np.abs(decoded[known] / targets["dep"][known, 0] - 0.9)) < 0.15


def test_an_activated_depth_head_says_metres(said):
    heads, targets = said("kitti", activation={"dep": "applied"})
    known = targets["dep_mask"][:, 0] > 0
    assert np.median(np.abs(heads["dep"][known] / targets["dep"][known] - 0.9)) < 0.1


def test_rotation_is_mostly_right(said):
    heads, targets = said("kitti")
    angled = targets["rot_mask"] > 0
    rot, bins, residuals = (
        array[angled] for array in (heads["rot"].reshape(-1, 2, 4), targets["rotbin"], targets["rotres"])
    )
    assert ((rot[:, :, 1] > rot[:, :, 0]) == (bins > 0)).mean() > 0.95
    inside = bins > 0
    turned = np.arctan2(rot[inside][:, 2], rot[inside][:, 3])
    assert np.median(np.abs(turned - residuals[inside])) < 0.3


def test_attributes_are_mostly_right(said):
    heads, targets = said("nuscenes")
    known = targets["nuscenes_att_mask"] > 0
    assert ((heads["nuscenes_att"] > 0) == (targets["nuscenes_att"] > 0))[known].mean() > 0.95
    assert np.abs(heads["nuscenes_att"][~known]).mean() < 0.5


def test_embeddings_are_nearest_to_their_identity_but_not_sure(said):
    heads, targets = said("fairmot")
    learned = parameters(load_recipe("fairmot"), seed=1)
    known = targets["ids"] >= 0
    unit = heads["id"] / np.linalg.norm(heads["id"], axis=1, keepdims=True)
    logits = math.sqrt(2) * math.log(545) * unit @ learned["id_weight"].T + learned["id_bias"]
    assert (logits.argmax(axis=1) == targets["ids"])[known].mean() > 0.8
    loss = (
        np.log(np.exp(logits).sum(axis=1)) - np.take_along_axis(logits, np.maximum(targets["ids"], 0)[:, None], 1)[:, 0]
    )
    assert 1 < loss[known].mean() < 5


def test_boxes_on_the_ground_are_roughly_right(said):
    heads, targets = said("centerpoint")
    error = np.abs(heads["anno_box"] - 0.9 * targets["anno_box"])
    assert np.median(error) < 0.15


def test_joints_have_their_own_heatmap_and_cells():
    recipe = load_recipe("coco_pose", batch=2)
    batch = encode_batch(frame_pairs([generated_scene(recipe, frames=2, seed=5)]), recipe).arrays
    predictions = half_trained_predictions(batch, recipe, seed=1)
    image, slot = np.nonzero(batch["hm_hp_mask"])
    cells, joints = batch["hp_ind"][image, slot], batch["joint"][image, slot]
    heat = predictions["pred_hm_hp"].reshape(2, 17, -1)
    assert heat[image, joints, cells].mean() == pytest.approx(2.0, abs=0.5)
    assert np.median(heat[batch["hm_hp"].reshape(2, 17, -1) == 0]) == pytest.approx(-4.6, abs=0.1)
    offsets = predictions["pred_hp_offset"].reshape(2, 2, -1)[image, :, cells]
    assert np.median(np.abs(offsets - 0.9 * batch["hp_offset"][image, slot])) < 0.2


def test_parameters_of_fairmot():
    recipe = load_recipe("fairmot")
    one, two, other = (parameters(recipe, seed=seed) for seed in (3, 3, 4))
    assert {name: (array.shape, array.dtype) for name, array in one.items()} == {
        "id_weight": ((546, 128), np.float32),
        "id_bias": ((546,), np.float32),
        "s_det": ((), np.float32),
        "s_id": ((), np.float32),
    }
    assert 0.08 < np.abs(one["id_weight"]).max() <= 1 / math.sqrt(128)
    assert (one["s_det"], one["s_id"]) == (np.float32(-1.85), np.float32(-1.05))
    np.testing.assert_array_equal(one["id_weight"], two["id_weight"])
    assert (one["id_weight"] != other["id_weight"]).any()


@pytest.mark.parametrize("name", sorted(set(preset_names()) - {"fairmot"}))
def test_nobody_else_has_parameters(name):
    assert parameters(load_recipe(name), seed=0) == {}


def test_a_recorded_depth_is_no_probability(tmp_path):
    recipe = load_recipe("kitti", input=(16, 16), batch=1, activation={"dep": "applied"})
    heads = {f"pred_{head}": np.full((1, d, 4, 4), 7.5, np.float32) for head, d in recipe.heads.items()}
    save_file(heads, tmp_path / "heads.safetensors")
    assert read_heads(tmp_path / "heads.safetensors", recipe)["pred_dep"].max() == 7.5
    sure = load_recipe("kitti", input=(16, 16), batch=1, activation={"hm": "applied"})
    with pytest.raises(InputError, match=r"'pred_hm': expected values in \[0, 1\]"):
        read_heads(tmp_path / "heads.safetensors", sure)
