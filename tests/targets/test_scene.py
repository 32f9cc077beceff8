import itertools

import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.recipe import load_recipe
from lossrt.targets.annotations import frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.scene import walking_pedestrians


def boxes_by_track(frame):
    return {track: box for track, box in zip(frame.track_ids.tolist(), frame.boxes.tolist(), strict=True) if track >= 0}


def test_same_seed_same_scene_and_no_global_state():
    recipe = load_recipe("mot17")
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    one, two, other = (walking_pedestrians(recipe, frames=4, seed=seed, ignored=2) for seed in (3, 3, 4))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    for first, second in zip(one.frames, two.frames, strict=True):
        np.testing.assert_array_equal(first.boxes, second.boxes)
        np.testing.assert_array_equal(first.track_ids, second.track_ids)
        np.testing.assert_array_equal(first.class_ids, second.class_ids)
    assert one.frames[0].boxes.tolist() != other.frames[0].boxes.tolist()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("frames", [2, 5, 30])
def test_people_enter_leave_and_cross_the_border(frames, seed):
    sequence = walking_pedestrians(load_recipe("mot17"), frames=frames, seed=seed)
    first, last = boxes_by_track(sequence.frames[0]), boxes_by_track(sequence.frames[-1])
    assert 1 in first and 1 not in last  # noqa: PT018
    assert 2 not in first and 2 in last  # noqa: PT018
    assert first[3][0] < 0 < first[3][2]


@pytest.mark.parametrize("seed", range(8))
def test_people_are_plausible(seed):
    recipe = load_recipe("mot17")
    frames = walking_pedestrians(recipe, frames=6, seed=seed).frames
    assert (frames[0].height, frames[0].width) == (1088, 1920)
    for before, after in itertools.pairwise(frames):
        earlier, later = boxes_by_track(before), boxes_by_track(after)
        for track in earlier.keys() & later.keys():
            left, top, right, bottom = earlier[track]
            tall = bottom - top
            assert 20 < tall < 700
            assert 0.3 < (right - left) / tall < 0.5
            assert abs(later[track][0] - left) < 0.05 * tall
            assert abs(later[track][3] - bottom) < 0.02 * tall
    arrays = encode_batch(frame_pairs([walking_pedestrians(recipe, frames=6, seed=seed)]), recipe).arrays
    assert (arrays["mask"].sum(axis=1) >= 15).all()
    assert (arrays["tracking_mask"][1:, :, 0].sum(axis=1) >= 14).all()


def test_ignored_regions_and_many_classes(make_recipe):
    recipe = make_recipe(classes=7, max_objs=64)
    frames = walking_pedestrians(recipe, frames=3, seed=0, pedestrians=60, ignored=6).frames
    for frame in frames:
        regions = frame.class_ids <= 0
        assert regions.sum() == 6
        assert (frame.class_ids[regions] == 0).sum() == 3
        assert (frame.track_ids[regions] == -1).all()
        assert set(frame.class_ids[~regions].tolist()) == set(range(1, 8))
        assert not regions[:6].all()


def test_by_default_nobody_is_without_a_slot(make_recipe):
    assert len(walking_pedestrians(make_recipe(max_objs=2), frames=1, seed=0).frames[0].boxes) <= 2


def test_an_empty_street(make_recipe):
    frames = walking_pedestrians(make_recipe(), frames=2, seed=0, pedestrians=0).frames
    assert [frame.boxes.shape for frame in frames] == [(0, 4), (0, 4)]


@pytest.mark.parametrize("counts", [{"frames": 0}, {"pedestrians": -1}, {"ignored": -1}])
def test_counts_that_make_no_scene(counts, make_recipe):
    with pytest.raises(InputError, match="scene: expected frames >= 1"):
        walking_pedestrians(make_recipe(), **{"frames": 1, "seed": 0, **counts})
