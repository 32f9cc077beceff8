from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossrt.errors import InputError
from lossrt.recipe import HEADS, load_recipe
from lossrt.targets.annotations import Frame, frame_pairs
from lossrt.targets.encode import Dropped, encode_batch, encode_frame
from lossrt.targets.formats import read_annotations
from lossrt.targets.regressions import REGRESSIONS
from tests.targets import brute_force
from tests.targets.random_frames import random_case


def frame_of(boxes, *, ids=None, classes=None, height=64, width=96, index=1):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    count = len(boxes)
    return Frame(
        "street",
        index,
        height,
        width,
        boxes,
        np.arange(count) if ids is None else np.array(ids, dtype=np.int64),
        np.ones(count, dtype=np.int64) if classes is None else np.array(classes, dtype=np.int64),
    )


@pytest.mark.parametrize("block", range(4))
def test_agrees_with_brute_force_on_random_scenes(block):
    for seed in range(block * 50, block * 50 + 50):
        frame, previous, recipe = random_case(seed)
        arrays, wanted = encode_frame(frame, previous, recipe).arrays, brute_force.encode(frame, previous, recipe)
        assert arrays.keys() == wanted.keys(), recipe.name
        for name, array in arrays.items():
            assert array.dtype == wanted[name].dtype, (seed, name)
            exact = array.dtype == np.int64 or name.endswith("mask")
            np.testing.assert_allclose(
                array, wanted[name], rtol=0, atol=0 if exact else 1e-6, err_msg=f"{name}, seed {seed}"
            )


def test_the_random_scenes_reach_every_branch():
    seen = Counter()
    for seed in range(200):
        frame, previous, recipe = random_case(seed)
        encoded = encode_frame(frame, previous, recipe)
        arrays, mask = encoded.arrays, encoded.arrays["mask"] > 0
        whole = arrays.get("ltrb_amodal", np.zeros((1, 4)))
        tracked = arrays.get("tracking_mask", np.zeros((1, 2)))[:, 0] > 0
        bins = arrays.get("rotbin", np.zeros((1, 2))).sum(axis=1)[arrays.get("rot_mask", np.zeros(1)) > 0]
        joints = arrays.get("hm_hp_mask", np.zeros(1)) > 0
        hidden = (arrays.get("hp_ind", np.zeros(1)) > 0) & ~joints
        seen += Counter(
            dropped=bool(encoded.dropped),
            ignored=bool((arrays["hm"] == 1).sum() > mask.sum()),
            empty=not mask.any(),
            gap=bool(mask.any() and not mask[: int(mask.sum())].all()),
            tracked=bool(tracked.any()),
            untracked=bool(previous and "tracking" in arrays and (mask[: len(tracked)] & ~tracked).any()),
            cut=bool(mask.any() and "ltrb" in arrays and (arrays["ltrb"] != whole)[mask].any()),
            crowd=bool((frame.is_crowd & (frame.class_ids > 0)).any()),
            one_bin=bool((bins == 1).any()),
            both_bins=bool((bins == 2).any()),
            joints=bool(joints.any()),
            hidden_joints=bool(hidden.any()),
            attribute=bool(arrays.get("nuscenes_att_mask", np.zeros(1)).any()),
            slow="velocity_mask" in arrays and bool((mask & ~arrays["velocity_mask"].any(axis=1)).any()),
            depth=bool(arrays.get("dep_mask", np.zeros(1)).any()),
            identity="ids" in arrays and bool((mask & (arrays["ids"] >= 0)).any()),
            nobody="ids" in arrays and bool((mask & (arrays["ids"] < 0)).any()),
            on_ground=bool(arrays.get("anno_box", np.zeros(1)).any()),
            incomplete="anno_box" in arrays and bool((arrays["hm"] == 1).sum() > mask.sum()),
        )
    assert min(seen.values()) >= 5, seen
    assert len(seen) == 19


@st.composite
def frames(draw):
    side = st.floats(-50, 150, width=32)
    size = st.floats(0, 120, width=32)
    rows = draw(st.lists(st.tuples(side, side, size, size, st.integers(-4, 4)), max_size=12))
    return frame_of([(x, y, x + w, y + h) for x, y, w, h, _ in rows], classes=[row[4] for row in rows])


@settings(deadline=None, max_examples=80)
@given(frame=frames())
def test_arrays_are_legal_and_consistent(frame, make_recipe):
    recipe = make_recipe(classes=3)
    arrays = encode_frame(frame, frame, recipe).arrays
    height, width = recipe.map_size
    assert arrays["hm"].min() >= 0
    assert arrays["hm"].max() <= 1
    assert ((arrays["ind"] >= 0) & (arrays["ind"] < height * width)).all()
    assert ((arrays["cat"] >= 0) & (arrays["cat"] < 3)).all()
    valid = arrays["mask"] > 0
    assert (arrays["hm"].reshape(3, -1)[arrays["cat"][valid], arrays["ind"][valid]] == 1.0).all()
    assert ((arrays["reg"] >= 0) & (arrays["reg"] < 1)).all()
    for name in ("ind", "cat"):
        assert not arrays[name][~valid].any()
    for head in ("reg", "wh", "tracking", "ltrb_amodal"):
        mask = arrays[f"{head}_mask"]
        assert np.isin(mask, (0, 1)).all()
        assert (mask == mask[:, :1]).all()
        assert (mask.max(axis=1) <= arrays["mask"]).all()
        assert not arrays[head][mask == 0].any()
    for head in ("reg", "wh", "ltrb_amodal"):
        assert (arrays[f"{head}_mask"][:, 0] == arrays["mask"]).all()


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(1000, 10**9))
def test_arrays_of_every_family_are_legal(seed):
    frame, previous, recipe = random_case(seed)
    arrays = encode_frame(frame, previous, recipe).arrays
    height, width = recipe.map_size
    ranges = {"ind": height * width, "cat": recipe.classes, "hp_ind": height * width, "joint": 17, "rotbin": 2}
    for name, array in arrays.items():
        if array.dtype == np.int64:
            low, high = (-1, recipe.identities) if name == "ids" else (0, ranges[name])
            assert ((array >= low) & (array < high)).all(), name
        else:
            assert array.dtype == np.float32
            assert np.isfinite(array).all(), name
        if name.endswith("mask") or name == "nuscenes_att":
            assert np.isin(array, (0, 1)).all(), name
        if name in ("hm", "hm_hp"):
            assert ((array >= 0) & (array <= 1)).all()
    for heat, index, mask, plane in (("hm", "ind", "mask", "cat"), ("hm_hp", "hp_ind", "hm_hp_mask", "joint")):
        if heat in arrays:
            valid = arrays[mask] > 0
            peaks = arrays[heat].reshape(len(arrays[heat]), -1)[arrays[plane][valid], arrays[index][valid]]
            assert (peaks == 1).all()
    for head in recipe.active_heads:
        if f"{head}_mask" in arrays and head not in ("hm_hp", "hp_offset", "rot"):
            assert not arrays[head][arrays[f"{head}_mask"] == 0].any(), head
            placed = arrays["mask"] if "anno_box" not in arrays else arrays["reg_mask"][:, 0]
            assert (arrays[f"{head}_mask"].max(axis=1) <= placed).all(), head


def test_a_box_by_hand(make_recipe):
    """96x64 onto 12x8: scale 1/8. Box (8, 16)-(40, 48) px becomes (1, 2)-(5, 6); it came from 16 px further left."""
    now, before = frame_of([(8, 16, 40, 48)], ids=[5]), frame_of([(-8, 16, 24, 48)], ids=[5])
    arrays = encode_frame(now, before, make_recipe()).arrays
    assert arrays["ind"][0] == 4 * 12 + 3
    assert arrays["reg"][0].tolist() == [0, 0]
    assert arrays["wh"][0].tolist() == [4, 4]
    assert arrays["ltrb_amodal"][0].tolist() == [-2, -2, 2, 2]
    # The earlier box, cut to the image, spans 0 to 3 on the map: its middle is 1.5, not the whole box's 1.
    assert arrays["tracking"][0].tolist() == [-1.5, 0]


def test_an_earlier_box_is_cut_to_the_input_and_not_to_the_map(make_recipe):
    """On the right the input ends at 47 px of 48, which is 11.75 on the map; the map's own last column is 11."""
    now, before = frame_of([(64, 16, 96, 48)], ids=[5]), frame_of([(64, 16, 200, 48)], ids=[5])
    arrays = encode_frame(now, before, make_recipe()).arrays
    column = arrays["ind"][0] % 12
    assert arrays["tracking"][0, 0] == (8 + 11.75) / 2 - column


@pytest.mark.parametrize(("class_id", "planes"), [(0, [0, 1, 2]), (-1, [0]), (-3, [2]), (-4, []), (4, [])])
def test_ignored_regions_raise_the_heatmap_and_nothing_else(class_id, planes, make_recipe):
    arrays = encode_frame(frame_of([(16, 16, 44, 40)], classes=[class_id]), None, make_recipe(classes=3)).arrays
    wanted = np.zeros((3, 8, 12), dtype=np.float32)
    wanted[planes, 2:6, 2:6] = 1
    np.testing.assert_array_equal(arrays["hm"], wanted)
    assert not any(array.any() for name, array in arrays.items() if name != "hm")


def test_an_ignored_person_is_remembered_for_the_next_frame(make_recipe):
    box = [(8, 16, 40, 48)]
    arrays = encode_frame(frame_of(box, ids=[5]), frame_of(box, ids=[5], classes=[-1]), make_recipe()).arrays
    assert arrays["tracking_mask"][0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("now", "before"),
    [([5], None), ([5], []), ([5], [4]), ([-1], [-1])],
    ids=["no-frame", "empty-frame", "other-track", "no-track-id"],
)
def test_tracking_is_masked_out(now, before, make_recipe):
    box = [(8, 16, 40, 48)]
    previous = None if before is None else frame_of(box * len(before), ids=before)
    arrays = encode_frame(frame_of(box, ids=now), previous, make_recipe()).arrays
    assert arrays["mask"][0] == 1
    assert not arrays["tracking_mask"].any()
    assert not arrays["tracking"].any()


def test_annotations_past_the_last_slot_are_dropped_and_counted(make_recipe):
    crowd = frame_of([(8 * k, 0, 8 * k + 16, 30) for k in range(11)], index=9)
    few = frame_of([(0, 0, 10, 10)])
    assert encode_frame(crowd, None, make_recipe()).dropped == (Dropped("street", 9, 3),)
    one_more, just_full = frame_of(crowd.boxes[:9]), frame_of(crowd.boxes[:8])
    assert encode_frame(one_more, None, make_recipe()).dropped == (Dropped("street", 1, 1),)
    assert encode_frame(just_full, None, make_recipe()).dropped == ()
    batch = encode_batch([(few, None), (crowd, None), (few, None)], make_recipe())
    assert batch.dropped == (Dropped("street", 9, 3),)
    assert batch.arrays["mask"].sum(axis=1).tolist() == [1, 8, 1]
    kept = encode_frame(just_full, None, make_recipe()).arrays
    np.testing.assert_array_equal(batch.arrays["hm"][1], kept["hm"])


def test_a_head_of_weight_zero_has_no_arrays(make_recipe):
    recipe = make_recipe(weights={"hm": 1.0, "reg": 0.0, "wh": 0.1, "tracking": 1.0, "ltrb_amodal": 0.0})
    names = set(encode_frame(frame_of([(0, 0, 9, 9)]), None, recipe).arrays)
    assert names == {"hm", "ind", "cat", "mask", "wh", "wh_mask", "tracking", "tracking_mask"}


def test_every_regression_head_of_a_recipe_has_a_target():
    assert {head for head, facts in HEADS.items() if facts.loss == "reg_weighted_l1"} == set(REGRESSIONS)


def test_a_batch_of_nothing_is_refused(make_recipe):
    with pytest.raises(InputError, match="at least one frame"):
        encode_batch([], make_recipe())


def test_real_frames(mot17_02):
    pairs = frame_pairs(read_annotations(mot17_02))
    encoded = encode_batch(pairs, load_recipe("mot17"))
    arrays = encoded.arrays
    assert arrays["hm"].shape == (4, 1, 136, 240)
    assert arrays["mask"].sum(axis=1).tolist() == [16, 16, 16, 16]
    assert arrays["tracking_mask"].sum(axis=(1, 2)).tolist() == [0, 32, 32, 32]
    assert np.abs(arrays["tracking"]).max() < 5
    assert encoded.dropped == ()
    for image, (frame, previous) in enumerate(pairs):
        for name, wanted in brute_force.encode(frame, previous, load_recipe("mot17")).items():
            np.testing.assert_allclose(arrays[name][image], wanted, rtol=0, atol=1e-6, err_msg=name)
