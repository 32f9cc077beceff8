import math

import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.recipe import load_recipe
from lossrt.targets.birds_eye import ground_from_camera, raster_boxes
from lossrt.targets.encode import encode_frame


@pytest.fixture
def recipe():
    """A map of 20x30 px of 0.8 m: 24 m along x, 16 m along y."""
    return load_recipe("centerpoint", input=(80, 120), max_objs=4, classes=2, heads={"hm": 2, "anno_box": 10})


@pytest.fixture
def encode(recipe, make_frame, make_ground):
    def run(classes=(1,), changed=recipe, crowds=None, **numbers):
        frame = make_frame(classes=classes, ground=make_ground(**numbers), crowds=crowds)
        return encode_frame(frame, None, changed).arrays

    return run


def test_the_ten_numbers(encode):
    """The sensor stands at (15, 10) on the map, and 1 m is 1.25 px."""
    arrays = encode(centre=(0.9, -0.2, -1.0), size=(2.0, 4.0, 1.5), velocity=(3.0, -1.0), heading=0.5)
    assert arrays["ind"][0] == 9 * 30 + 16
    wanted = [0.125, 0.75, -1, math.log(2), math.log(4), math.log(1.5), 3, -1, math.sin(0.5), math.cos(0.5)]
    np.testing.assert_allclose(arrays["anno_box"][0], wanted, atol=1e-6)
    assert arrays["mask"].tolist() == [1, 0, 0, 0]
    assert arrays["hm"][0, 9, 16] == 1


def test_without_velocities(encode, recipe):
    eight = load_recipe(
        "centerpoint", input=recipe.input, max_objs=4, classes=2, heads={"hm": 2, "anno_box": 8}, code_weights=[1.0] * 8
    )
    all_ten = encode(velocity=(0.0, 0.0))["anno_box"][0]
    arrays = encode(changed=eight, velocity=(np.nan, np.nan))
    np.testing.assert_array_equal(arrays["anno_box"][0], np.delete(all_ten, [6, 7]))
    assert arrays["mask"][0] == 1


@pytest.mark.parametrize(
    "numbers",
    [{"velocity": (np.nan, 0.0)}, {"heading": np.nan}, {"size": (2.0, 4.0, 0.0)}, {"centre": (0.0, 0.0, np.nan)}],
    ids=["velocity", "heading", "height", "z"],
)
def test_a_box_that_lacks_a_number_is_drawn_but_masked(numbers, encode):
    arrays = encode(**numbers)
    assert arrays["hm"].max() == 1
    assert not arrays["mask"].any()
    assert not arrays["anno_box"].any()


@pytest.mark.parametrize(
    "changes",
    [
        {"centre": (12.0, 0.0, 0.0)},
        {"centre": (0.0, -8.9, 0.0)},
        {"centre": (np.nan, 0.0, 0.0)},
        {"size": (0.0, 4.0, 1.5)},
        {"classes": (0,)},
        {"classes": (-1,)},
        {"classes": (3,)},
        {"crowds": np.array([True])},
    ],
    ids=["right", "below", "nowhere", "no-width", "ignored", "ignored-class", "other-class", "crowd"],
)
def test_what_has_no_place_is_left_out(changes, encode):
    arrays = encode(**changes)
    assert not arrays["hm"].any()
    assert not arrays["mask"].any()


def test_less_than_a_pixel_beside_the_map_still_counts(encode):
    """Cutting the fraction off rounds towards the map, as upstream."""
    arrays = encode(centre=(-12.4, 0.0, 0.0))
    assert arrays["ind"][0] == 10 * 30
    assert arrays["anno_box"][0, 0] == pytest.approx(-0.5)


@pytest.mark.parametrize(("size", "reach"), [((0.5, 0.5, 1.0), 2), ((8.0, 9.6, 1.0), 4)])
def test_peaks_are_at_least_two_pixels_wide(size, reach, encode):
    row = encode(size=size)["hm"][0, 10] > 0
    assert row.sum() == 2 * reach + 1


def test_a_frame_without_ground_is_empty(recipe, make_frame):
    arrays = encode_frame(make_frame(), None, recipe).arrays
    assert not any(array.any() for array in arrays.values())


def test_channels_that_nothing_fills_are_refused(recipe):
    heads = {"hm": 2, "anno_box": 7}
    with pytest.raises(InputError, match=r"heads\.anno_box: expected 8 or 10 channels, got 7"):
        load_recipe("centerpoint", input=recipe.input, classes=2, heads=heads, code_weights=[1.0] * 7)


@pytest.mark.parametrize(
    ("rotation", "front"), [(0.0, (1, 0)), (-np.pi / 2, (0, 1)), (np.pi, (-1, 0))], ids=["right", "ahead", "left"]
)
def test_a_camera_looks_along_y(rotation, front):
    ground = ground_from_camera(
        np.array([[1.0, 1.6, 9.0]]), np.array([[1.5, 2.0, 4.0]]), np.array([rotation]), np.array([[3.0, 0.1, -2.0]])
    )
    np.testing.assert_allclose(ground.centres, [[1.0, 9.0, -0.85]])
    assert ground.sizes.tolist() == [[2.0, 4.0, 1.5]]
    assert ground.velocities.tolist() == [[3.0, -2.0]]
    angle = -np.pi / 2 - ground.headings[0]
    np.testing.assert_allclose([np.cos(angle), np.sin(angle)], front, atol=1e-12)


def test_the_rectangle_around_a_turned_box(make_ground):
    along_x, along_y = make_ground(heading=-np.pi / 2), make_ground(heading=-np.pi)
    np.testing.assert_allclose(raster_boxes(along_x), [[-2, -1, 2, 1]])
    np.testing.assert_allclose(raster_boxes(along_y), [[-1, -2, 1, 2]], atol=1e-12)
