import numpy as np
import pytest

from lossrt.targets.encode import encode_frame

HEADS = {"hps": 34, "hm_hp": 17, "hp_offset": 2}
BOX = np.s_[2:7, 1:6]  # of the frame's only person, whose box is (1, 2) to (5, 6) on the map


@pytest.fixture
def encode(make_recipe, make_frame, make_poses):
    def run(**joints):
        frame = make_frame(poses=make_poses(**joints))
        return encode_frame(frame, None, make_recipe(HEADS)).arrays

    return run


def test_a_visible_joint(encode):
    """Joint 3 at (25, 33) px is (3.125, 4.125) on the map; the person's cell is (3, 4)."""
    arrays = encode(j3=(25, 33, 2))
    assert arrays["hps"][0, 6:8].tolist() == [0.125, 0.125]
    assert arrays["hps_mask"][0].tolist() == [0] * 6 + [1, 1] + [0] * 26
    assert arrays["hp_offset"][3].tolist() == [0.125, 0.125]
    assert arrays["hp_offset_mask"][3].tolist() == [1, 1]
    assert (arrays["hp_ind"][3], arrays["joint"][3], arrays["hm_hp_mask"][3]) == (4 * 12 + 3, 3, 1)
    assert arrays["hm_hp"][3, 4, 3] == 1
    assert arrays["hm_hp"][3].sum() < 2
    assert arrays["hm_hp_mask"].sum() == 1


def test_a_hidden_joint_keeps_its_offset_but_nobody_has_to_find_it(encode):
    visible, hidden = encode(j3=(26, 33, 2)), encode(j3=(26, 33, 1))
    for name in ("hps", "hps_mask", "hm_hp", "hp_ind", "joint", "hp_offset"):
        np.testing.assert_array_equal(visible[name], hidden[name])
    assert not hidden["hm_hp_mask"].any()
    assert not hidden["hp_offset_mask"].any()


def test_a_joint_that_is_not_annotated_frees_the_whole_box(encode):
    arrays = encode(j3=(25, 33, 2))
    wanted = np.zeros((8, 12), dtype=np.float32)
    wanted[BOX] = 1
    for joint in set(range(17)) - {3}:
        np.testing.assert_array_equal(arrays["hm_hp"][joint], wanted)


@pytest.mark.parametrize("visibility", [1, 2])
@pytest.mark.parametrize(
    ("place", "on_map"),
    [
        ((0, 0), True),
        ((-0.01, 20), False),
        ((95.9, 20), True),
        ((96, 20), False),
        ((20, 64), False),
        ((20, 63.9), True),
    ],
)
def test_a_joint_off_the_map_is_dropped(place, on_map, visibility, encode):
    arrays = encode(j0=(*place, visibility))
    assert bool(arrays["hps_mask"][0, :2].any()) == on_map
    assert bool(arrays["hm_hp"][0].any()) == on_map
    if not on_map:
        assert not any(arrays[name][0].any() for name in ("hp_ind", "hm_hp_mask", "hp_offset", "hp_offset_mask"))


def test_without_keypoints_every_joint_frees_the_box(make_recipe, make_frame):
    arrays = encode_frame(make_frame(), None, make_recipe(HEADS)).arrays
    wanted = np.zeros((8, 12), dtype=np.float32)
    wanted[BOX] = 1
    for plane in arrays["hm_hp"]:
        np.testing.assert_array_equal(plane, wanted)
    assert not any(arrays[name].any() for name in ("hps", "hps_mask", "hp_ind", "joint", "hm_hp_mask"))


@pytest.mark.parametrize(
    ("class_id", "crowd", "hides_joints"),
    [(0, False, True), (-1, False, True), (-2, False, True), (1, True, True), (2, True, False), (-2, True, True)],
)
def test_regions_hide_joints_and_crowds_only_where_they_are_of_people(
    class_id, crowd, hides_joints, make_recipe, make_frame
):
    frame = make_frame(classes=[class_id], crowds=np.array([crowd]))
    arrays = encode_frame(frame, None, make_recipe(HEADS, classes=2)).arrays
    wanted = np.zeros((8, 12), dtype=np.float32)
    wanted[BOX] = hides_joints
    for plane in arrays["hm_hp"]:
        np.testing.assert_array_equal(plane, wanted)
    assert (arrays["hm"][:, 4, 3] == 1).sum() == (2 if class_id == 0 else 1)
    assert not arrays["mask"].any()


def test_joints_take_their_persons_slots(make_recipe, make_frame, make_poses):
    one = make_poses(j5=(20, 20, 2))
    far = ((500.0, 0.0, 520.0, 30.0), (8.0, 16.0, 40.0, 48.0))  # the first lies beside the map
    poses = type(one)(np.repeat(one.points, 2, axis=0), np.repeat(one.visibilities, 2, axis=0))
    arrays = encode_frame(make_frame(far, poses=poses), None, make_recipe(HEADS)).arrays
    assert np.flatnonzero(arrays["hm_hp_mask"]).tolist() == [17 + 5]
    assert arrays["hp_offset"].shape == (17 * 8, 2)


def test_heads_of_weight_zero_have_no_arrays(make_recipe, make_frame):
    recipe = make_recipe(HEADS, weights={"hm": 1.0, "hps": 0.0, "hm_hp": 1.0, "hp_offset": 0.0})
    names = set(encode_frame(make_frame(), None, recipe).arrays)
    assert names == {"hm", "ind", "cat", "mask", "hm_hp", "hp_ind", "joint", "hm_hp_mask"}
