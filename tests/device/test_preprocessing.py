import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lossrt.device.preprocessing import network_heatmap, network_image, read_image
from lossrt.errors import InputError
from lossrt.recipe import load_recipe
from lossrt.targets.annotations import Frame

RECIPE = load_recipe("mot17", input=(32, 64), max_objs=8)
MEAN, STD = (0.40789654, 0.44719302, 0.47026115), (0.28863828, 0.27408164, 0.27809835)


def levels_of(network: np.ndarray) -> np.ndarray:
    """Undo the normalization: [3, H, W] blue, green, red levels."""
    return (network.astype(np.float64) * np.reshape(STD, (3, 1, 1)) + np.reshape(MEAN, (3, 1, 1))) * 255


def sampled(image: np.ndarray, row: float, column: float) -> np.ndarray | None:
    """Blend the four pixels around a point whose whole coordinates are middles of pixels; None past the outer middles."""
    height, width = image.shape[:2]
    if not (0 <= row <= height - 1 and 0 <= column <= width - 1):
        return None
    top, left = min(math.floor(row), height - 2), min(math.floor(column), width - 2)
    y, x = row - top, column - left
    corner = image[top : top + 2, left : left + 2].astype(np.float64)
    return (corner * np.array([[(1 - y) * (1 - x), (1 - y) * x], [y * (1 - x), y * x]])[:, :, None]).sum((0, 1))


@settings(max_examples=25)
@given(st.integers(2, 90), st.integers(2, 90), st.integers(0, 2**32 - 1))
def test_the_warp_agrees_with_a_bilinear_one_pixel_by_pixel(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    levels = levels_of(network_image(image, RECIPE))
    scale = 64 / max(height, width)
    for row in range(32):
        for column in range(64):
            # Upstream's affine takes the image's middle to the input's middle, both counted in px.
            point = (row - 16) / scale + height / 2, (column - 32) / scale + width / 2
            got = levels[:, row, column]
            expected = sampled(image, *point)
            if expected is not None:
                assert np.abs(got - expected[::-1]).max() <= 0.5001
            elif not (-0.51 < point[0] < height - 0.49 and -0.51 < point[1] < width - 0.49):
                np.testing.assert_allclose(got, 0, atol=1e-3)


def test_an_image_of_the_inputs_size_is_only_normalized() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    network = network_image(image, RECIPE)
    expected = (image[:, :, ::-1].transpose(2, 0, 1) / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    assert network.dtype == np.float32
    np.testing.assert_allclose(network, expected, atol=1e-6)


def test_an_object_lies_where_the_encoder_puts_it() -> None:
    from lossrt.targets.placement import place_objects

    image = np.zeros((1080, 1920, 3), dtype=np.uint8)
    image[400:500, 900:1000] = 255
    recipe = load_recipe("mot17")
    (placed,) = place_objects(frame_of([[900, 400, 1000, 500]], (1080, 1920)), None, recipe).boxes
    rows, columns = np.nonzero(network_image(image, recipe)[0] > 0)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert np.abs(found / recipe.down_ratio - placed).max() <= 0.5


def frame_of(boxes: list[list[float]], size: tuple[int, int], **changes: object) -> Frame:
    count = len(boxes)
    arrays: dict[str, object] = {
        "boxes": np.array(boxes, dtype=np.float64).reshape(-1, 4),
        "track_ids": np.arange(count),
        "class_ids": np.ones(count, dtype=np.int64),
    }
    return Frame("one", 1, *size, **{**arrays, **changes})


def test_the_heatmap_has_a_peak_where_each_object_was() -> None:
    recipe = load_recipe("mot17", input=(64, 128), classes=2, heads={"hm": 2, "reg": 2}, weights={"hm": 1, "reg": 1})
    boxes = [[10, 10, 30, 40], [200, 100, 260, 127], [60, 60, 61, 60], [-50, -50, -10, -10], [90, 10, 95, 20]]
    previous = frame_of(boxes, (128, 256), class_ids=np.array([1, -2, 1, 2, 3]))
    heatmap = network_heatmap(previous, recipe)
    assert heatmap.shape == (1, 64, 128)
    # Half size: middles (10, 12.5) and, of the ignored one, cut to 127 and 63, (113.5, 56.5); the others have no area or no such class.
    assert sorted(map(tuple, np.argwhere(heatmap[0] == 1).tolist())) == [(12, 10), (56, 113)]
    # 10 x 15 px: b = -2*.7*25, c = -.3*150, a = 2.8, (b + sqrt(b*b - 4ac))/2 = 3.3, cut to 3, sigma 7/6.
    assert heatmap[0, 12, 13] == pytest.approx(math.exp(-9 / (2 * (7 / 6) ** 2)), rel=1e-6)
    assert heatmap[0, 12, 14] == 0


def test_crowds_are_no_objects_and_a_first_frame_had_none() -> None:
    crowd = frame_of([[10, 10, 30, 40]], (128, 256), crowds=np.array([True]))
    assert not network_heatmap(crowd, RECIPE).any()
    assert not network_heatmap(None, RECIPE).any()


def test_read_image(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
    Image.fromarray(image[:, :, 0]).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png"), np.repeat(image[:, :, :1], 3, axis=2))


@pytest.mark.parametrize(
    "content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n1234"], ids=["missing", "empty", "text", "cut"]
)
def test_what_is_no_image(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"image '.*a.png': expected a readable PNG or JPEG"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
    ids=["gray", "alpha", "float", "empty"],
)
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"image: expected uint8\[h, w, 3\]"):
        network_image(image, RECIPE)


def test_a_family_with_another_pre_processing_is_refused() -> None:
    with pytest.raises(InputError, match="recipe 'fairmot': expected a family whose pre-processing is known"):
        network_image(np.zeros((4, 4, 3), np.uint8), load_recipe("fairmot"))
