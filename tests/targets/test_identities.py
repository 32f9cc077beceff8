import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.recipe import load_recipe
from lossrt.targets.annotations import FrameSequence
from lossrt.targets.encode import encode_frame
from lossrt.targets.identities import number_identities

BOX = (8.0, 16.0, 40.0, 48.0)


@pytest.fixture
def small():
    return lambda identities: load_recipe("fairmot", input=(32, 48), max_objs=6, identities=identities)


def test_tracks_are_numbered_sequence_by_sequence(make_frame):
    one = make_frame([BOX] * 3, ids=[7, 2, -1])
    two = make_frame([BOX] * 2, ids=[2, 9], index=2)
    other = make_frame([BOX] * 2, ids=[2, 1])
    numbered = number_identities([FrameSequence("a", (one, two)), FrameSequence("b", (other,))])
    assert [[f.identities.tolist() for f in s.frames] for s in numbered] == [[[1, 0, -1], [0, 2]], [[4, 3]]]


def test_regions_and_crowds_are_nobody(make_frame):
    frame = make_frame([BOX] * 4, ids=[1, 2, 3, 0], classes=[0, -1, 1, 1], crowds=np.array([False, False, True, False]))
    (numbered,) = number_identities([FrameSequence("a", (frame,))])
    assert numbered.frames[0].identities.tolist() == [-1, -1, -1, 0]


def test_nothing_to_number(make_frame):
    assert number_identities([]) == []
    (empty,) = number_identities([FrameSequence("a", (make_frame([]),))])
    assert empty.frames[0].identities.tolist() == []


def test_targets_are_the_numbers_and_minus_one_for_nobody(make_frame, small):
    frame = make_frame([BOX] * 3, identities=np.array([4, -1, 0]))
    assert encode_frame(frame, None, small(5)).arrays["ids"].tolist() == [4, -1, 0, 0, 0, 0]
    assert encode_frame(make_frame([BOX]), None, small(5)).arrays["ids"].tolist() == [-1, 0, 0, 0, 0, 0]


def test_more_tracks_than_identities(make_frame, small):
    frame = make_frame([BOX] * 2, ids=[3, 8], identities=np.array([0, 5]), index=4)
    with pytest.raises(InputError, match=r"frame 4 of 'street': track 8: expected .* identities=5 .*, got 5; set"):
        encode_frame(frame, None, small(5))


def test_fairmot_boxes_are_whole_and_padded(make_frame, small):
    """96x64 px into 48x32 is half the size, a quarter of that on the map; the box reaches 16 px past the left."""
    arrays = encode_frame(make_frame([(-16.0, 16.0, 24.0, 40.0)]), None, small(5)).arrays
    assert arrays["ind"][0] == 3 * 12
    assert arrays["reg"][0].tolist() == [0.5, 0.5]
    assert arrays["wh"][0].tolist() == [2.5, 1.5, 2.5, 1.5]


def test_fairmot_cuts_the_centre_and_not_the_box(make_frame, small):
    arrays = encode_frame(make_frame([(-40.0, 16.0, 24.0, 40.0)]), None, small(5)).arrays
    assert arrays["ind"][0] == 3 * 12
    assert arrays["reg"][0].tolist() == [0, 0.5]
    assert arrays["wh"][0].tolist() == [5, 1.5, 3, 1.5]


@pytest.mark.parametrize("name", ["fairmot", "centernet_ctdet"])
def test_a_region_is_no_object_where_every_pixel_of_one_is_an_object(name, make_frame):
    recipe = load_recipe(name, input=(32, 48))
    arrays = encode_frame(make_frame([BOX] * 2, classes=[0, -1]), None, recipe).arrays
    assert not arrays["hm"].any()


@pytest.mark.parametrize(("name", "objects"), [("fairmot", 0), ("centernet_ctdet", 1), ("mot17", 0)])
def test_only_centernet_takes_a_crowd_for_an_object(name, objects, make_frame):
    frame = make_frame([BOX], crowds=np.array([True]))
    assert encode_frame(frame, None, load_recipe(name, input=(32, 48))).arrays["mask"].sum() == objects


def test_a_head_without_a_mask_of_its_own_masks_the_objects_that_it_cannot_know(make_recipe, make_frame):
    recipe = make_recipe(losses={"tracking": "reg_l1"})
    arrays = encode_frame(make_frame([BOX] * 2, ids=[1, 2]), make_frame([BOX], ids=[2]), recipe).arrays
    assert arrays["mask"].tolist() == [0, 1] + 6 * [0]
    assert "tracking_mask" not in arrays
    assert arrays["hm"][0, 4, 3] == 1
