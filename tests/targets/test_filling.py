import numpy as np
import pytest

from lossrt.recipe import load_recipe, preset_names
from lossrt.targets.annotations import frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.filling import fill_slots, place_objects_at, share_cells
from lossrt.targets.scenes import generated_scene

EVERY = [*preset_names(), "normed"]


def encoded(name):
    changes = {"losses": {"wh": "norm_reg_l1"}} if name == "normed" else {}
    recipe = load_recipe("centernet_ctdet" if name == "normed" else name, input=(96, 128), max_objs=24, **changes)
    scene = generated_scene(recipe, frames=3, seed=4, objects=15, ignored=2)
    return recipe, encode_batch(frame_pairs([scene])[1:], recipe).arrays


def known_entries(batch, recipe):
    """Head -> which of its values count, with the values."""
    for head in recipe.active_heads:
        if head in batch and not head.startswith("hm"):
            own = f"{head}_mask"
            mask = batch[own] if own in batch else np.broadcast_to(batch["mask"][:, :, None], batch[head].shape)
            yield head, mask > 0, batch[head]


@pytest.mark.parametrize("name", EVERY)
def test_full_slots_know_everything_and_keep_what_they_knew(name):
    recipe, batch = encoded(name)
    before = {key: array.copy() for key, array in batch.items()}
    fill_slots(batch, recipe, np.ones(batch["mask"].shape, dtype=bool), np.random.default_rng(0))
    masks = [key for key in batch if key.endswith("mask")]
    assert all((batch[key] == 1).all() for key in masks)
    assert before.keys() == batch.keys()
    for head, known, values in known_entries(before, recipe):
        np.testing.assert_array_equal(batch[head][known], values[known])
        assert (batch[head][~known] != values[~known]).mean() > (0.3 if head == "nuscenes_att" else 0.99)
        assert batch[head].dtype == np.float32
    was = before["mask"] > 0
    np.testing.assert_array_equal(batch["ind"][was], before["ind"][was])
    np.testing.assert_array_equal(batch["hm"], before["hm"])
    cells = recipe.map_size[0] * recipe.map_size[1]
    for key, limit in (
        ("ind", cells),
        ("cat", recipe.classes),
        ("hp_ind", cells),
        ("joint", 17),
        ("ids", recipe.identities),
    ):
        if key in batch:
            assert batch[key].dtype == np.int64
            assert 0 <= batch[key].min() <= batch[key].max() < limit
    if name == "normed":
        assert batch["wh"].min() > 0
    if "rotbin" in batch:
        assert set(batch["rotbin"].sum(axis=2).ravel().tolist()) == {1, 2}
        assert not batch["rotres"][batch["rotbin"] == 0].any()
    if "joint" in batch:
        assert (batch["joint"].reshape(-1, 17) == np.arange(17)).all()


@pytest.mark.parametrize("name", EVERY)
def test_other_slots_stay_as_they_are(name):
    recipe, batch = encoded(name)
    before = {key: array.copy() for key, array in batch.items()}
    slots = np.zeros(batch["mask"].shape, dtype=bool)
    slots[1, 20:] = True
    fill_slots(batch, recipe, slots, np.random.default_rng(0))
    for key, array in batch.items():
        np.testing.assert_array_equal(array[0], before[key][0])
        per_slot = array.shape[1] // 24 if key not in ("hm", "hm_hp") else 0
        if per_slot:
            np.testing.assert_array_equal(array[1, : 20 * per_slot], before[key][1, : 20 * per_slot])
    assert (batch["mask"][1, 20:] == 1).all()


@pytest.mark.parametrize("name", EVERY)
def test_objects_are_placed_at_cells(name):
    recipe, batch = encoded(name)
    place_objects_at(batch, recipe, np.array([0, 767, 31]), np.random.default_rng(0))
    assert batch["ind"][:, :3].tolist() == [[0, 767, 31]] * 2
    assert (batch["mask"][:, :3] == 1).all()
    if "hp_ind" in batch:
        assert batch["hp_ind"][0, :3].tolist() == [0, 767, 31]
        assert batch["hp_ind"][1, 17:20].tolist() == [767, 31, 0]
        assert (batch["hm_hp_mask"][:, : 3 * 17] == 1).all()


@pytest.mark.parametrize("name", EVERY)
def test_every_second_object_shares_the_cell_before_it(name):
    _, batch = encoded(name)
    before = {key: array.copy() for key, array in batch.items()}
    share_cells(batch)
    for image in range(2):
        slots = np.flatnonzero(batch["mask"][image])
        for first, second in zip(slots[::2], slots[1::2], strict=False):
            assert batch["ind"][image, first] == batch["ind"][image, second] == before["ind"][image, first]
            if "hp_ind" in batch:
                joints = batch["hp_ind"][image].reshape(-1, 17)
                np.testing.assert_array_equal(joints[first], joints[second])
    assert [key for key in batch if (batch[key] != before[key]).any()] == (
        ["ind", "hp_ind"] if "hp_ind" in batch else ["ind"]
    )
