import itertools

import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.recipe import load_recipe, preset_names
from lossrt.targets.annotations import frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.scene import walking_pedestrians
from lossrt.targets.scene_from_above import traffic_from_above
from lossrt.targets.scenes import generated_scene


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", preset_names())
def test_every_head_of_every_preset_has_something_to_learn(name, seed):
    recipe = load_recipe(name)
    scene = generated_scene(recipe, frames=3, seed=seed)
    arrays = encode_batch(frame_pairs([scene])[1:], recipe).arrays
    assert arrays["mask"].sum() >= 20
    masks = [key for key in arrays if key.endswith("_mask")]
    assert all(arrays[key].sum() >= 10 for key in masks), name
    if "ids" in arrays:
        assert ((arrays["ids"] >= 0) & (arrays["mask"] > 0)).sum() >= 20
        assert ((arrays["ids"] < 0) & (arrays["mask"] > 0)).any()
    if "rotbin" in arrays:
        bins = arrays["rotbin"].sum(axis=2)
        assert (bins == 1).any()
        assert (bins == 2).any()
        assert ((bins == 0) & (arrays["mask"] > 0)).any()
        assert arrays["rotbin"].any(axis=(0, 1)).all()
    if "velocity" in arrays:
        assert 0 < arrays["velocity_mask"][..., 0].sum() < arrays["mask"].sum()
        assert (arrays["nuscenes_att"].sum(axis=(0, 1)) > 0).sum() >= 5
    if "anno_box" in arrays:
        assert (arrays["anno_box"] != 0).any(axis=(0, 1)).all()


@pytest.mark.parametrize("seed", range(3))
def test_joints_of_every_kind(seed):
    recipe = load_recipe("coco_pose")
    frames = walking_pedestrians(recipe, frames=4, seed=seed).frames
    visibilities = np.concatenate([frame.poses.visibilities for frame in frames])
    assert {0, 1, 2} == set(visibilities.ravel().tolist())
    assert (visibilities == 0).all(axis=1).any()
    arrays = encode_batch([(frame, None) for frame in frames], recipe).arrays
    off_the_map = (visibilities > 0).sum() - arrays["hps_mask"].sum() / 2
    assert off_the_map >= 10
    assert (arrays["hm_hp_mask"].sum(axis=0).reshape(-1, 17) > 0).any(axis=0).all()


def test_joints_and_boxes_move_together():
    for before, after in itertools.pairwise(walking_pedestrians(load_recipe("coco_pose"), frames=5, seed=0).frames):
        for frame in (before, after):
            spans = frame.boxes[:, None, 2:] - frame.boxes[:, None, :2]
            inside = (frame.poses.points - frame.boxes[:, None, :2]) / spans
            assert -0.1 < inside.min() < inside.max() < 1.1


def test_depth_fits_the_box():
    """A pinhole camera sees the 3D box as high as the box is."""
    frame = walking_pedestrians(load_recipe("kitti"), frames=1, seed=2).frames[0]
    known = np.isfinite(frame.spatial.depths) & np.isfinite(frame.spatial.dims[:, 0])
    seen = 0.75 * frame.width * frame.spatial.dims[known, 0] / frame.spatial.depths[known]
    np.testing.assert_allclose(seen, (frame.boxes[:, 3] - frame.boxes[:, 1])[known])
    assert known.sum() > 10


@pytest.mark.parametrize("make", [walking_pedestrians, traffic_from_above])
def test_same_seed_same_details(make):
    recipe = load_recipe("centerpoint")
    one, two, other = (make(recipe, frames=3, seed=seed, ignored=2).frames[1] for seed in (5, 5, 6))
    for name in ("poses", "spatial", "ground"):
        details = [getattr(frame, name) for frame in (one, two, other)]
        if details[0] is not None:
            for field in details[0].shapes:
                first, same, different = (getattr(entry, field) for entry in details)
                np.testing.assert_array_equal(first, same)
                assert first.shape != different.shape or (first != different).any()
    np.testing.assert_array_equal(one.identities, two.identities)


def test_the_boxes_do_not_depend_on_the_details():
    few, many = (walking_pedestrians(load_recipe(name), frames=2, seed=1) for name in ("crowdhuman", "coco_pose"))
    np.testing.assert_array_equal(few.frames[0].boxes, many.frames[0].boxes)


@pytest.mark.parametrize("name", preset_names())
def test_regions_have_no_details(name):
    frame = generated_scene(load_recipe(name), frames=1, seed=0, objects=3, ignored=6).frames[0]
    regions = frame.class_ids <= 0
    assert regions.sum() == 6
    assert (frame.identities[regions] == -1).all()
    if frame.spatial is not None:
        assert not frame.poses.visibilities[regions].any()
        assert np.isnan(frame.spatial.depths[regions]).all()
        assert not frame.spatial.attributes[regions].any()


def test_identities_stay_within_the_recipe():
    recipe = load_recipe("fairmot", identities=4)
    arrays = encode_batch(frame_pairs([generated_scene(recipe, frames=2, seed=0)]), recipe).arrays
    assert arrays["ids"].max() == 3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("frames", [2, 5])
def test_traffic_enters_and_leaves_the_map(frames, seed):
    recipe = load_recipe("centerpoint")
    shown = traffic_from_above(recipe, frames=frames, seed=seed).frames
    first, last = (dict(zip(f.track_ids.tolist(), f.ground.centres, strict=True)) for f in (shown[0], shown[-1]))
    assert 1 in first and 1 not in last  # noqa: PT018
    assert 2 not in first and 2 in last  # noqa: PT018
    arrays = encode_batch([(frame, None) for frame in shown], recipe).arrays
    assert (arrays["ind"] // 128 == 0).any(axis=1).all()


def test_boxes_from_above_are_the_rectangles_in_pillars():
    frame = traffic_from_above(load_recipe("centerpoint"), frames=1, seed=0).frames[0]
    middles = (frame.boxes[:, :2] + frame.boxes[:, 2:]) / 2
    np.testing.assert_allclose(middles * 0.2 - 51.2, frame.ground.centres[:, :2], atol=1e-9)
    assert ((frame.boxes[:, 2:] - frame.boxes[:, :2]) * 0.2 <= np.hypot(*frame.ground.sizes.T[:2])[:, None]).all()


@pytest.mark.parametrize("counts", [{"frames": 0}, {"vehicles": -1}, {"ignored": -1}])
def test_counts_that_make_no_traffic(counts):
    with pytest.raises(InputError, match="scene: expected frames >= 1, vehicles >= 0"):
        traffic_from_above(load_recipe("centerpoint"), **{"frames": 1, "seed": 0, **counts})


@pytest.mark.parametrize("name", ["coco_pose", "centerpoint"])
def test_an_empty_scene(name):
    frames = generated_scene(load_recipe(name), frames=2, seed=0, objects=0).frames
    assert [frame.boxes.shape for frame in frames] == [(0, 4), (0, 4)]
