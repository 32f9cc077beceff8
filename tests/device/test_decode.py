import math
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossrt.device.decode import Detection, decode, detections_in_image
from lossrt.device.drawing import draw
from lossrt.errors import InputError
from lossrt.recipe import Recipe, load_recipe

CHANNELS = {"hm": 2, "reg": 2, "wh": 2, "ltrb": 4, "ltrb_amodal": 4, "tracking": 2}


def recipe_of(*heads: str, **changes: object) -> Recipe:
    heads = ("hm", *heads)
    channels = {head: CHANNELS[head] for head in heads}
    base = load_recipe("mot17", input=(32, 48), classes=2, heads=channels, weights=dict.fromkeys(heads, 1.0))
    return base.model_copy(update=changes)


def predictions_of(recipe: Recipe, seed: int, size: tuple[int, int] = (8, 12)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = {f"pred_{head}": rng.normal(0, 3, (2, count, *size)) for head, count in recipe.heads.items()}
    # Few levels, so that plateaus and equal scores come up.
    arrays["pred_hm"] = np.round(arrays["pred_hm"])
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def by_hand(arrays: dict[str, np.ndarray], recipe: Recipe, threshold: float, top_k: int) -> list[list[Detection]]:
    """The decoder, one cell at a time."""
    batch, classes, height, width = arrays["pred_hm"].shape
    images = []
    for b in range(batch):
        found = []
        for c in range(classes):
            for y in range(height):
                for x in range(width):
                    here = float(arrays["pred_hm"][b, c, y, x])
                    around = [
                        float(arrays["pred_hm"][b, c, v, u])
                        for v in range(max(y - 1, 0), min(y + 2, height))
                        for u in range(max(x - 1, 0), min(x + 2, width))
                    ]
                    score = 1 / (1 + math.exp(-here))
                    if max(around) > here or score < threshold:
                        continue
                    at = {name[5:]: array[b, :, y, x].astype(float).tolist() for name, array in arrays.items()}
                    found.append(Detection(c + 1, score, box_by_hand(at, x, y), (x, y), previous_by_hand(at, x, y)))
        images.append(sorted(found, key=lambda one: -round(one.score, 6))[:top_k])
    return images


def box_by_hand(at: dict[str, list[float]], x: int, y: int) -> tuple[float, float, float, float]:
    if "ltrb_amodal" in at or "ltrb" in at:
        left, top, right, bottom = at.get("ltrb_amodal") or at["ltrb"]
        return x + left, y + top, x + right, y + bottom
    dx, dy = at.get("reg", [0.5, 0.5])
    w, h = (max(side, 0) for side in at["wh"])
    return x + dx - w / 2, y + dy - h / 2, x + dx + w / 2, y + dy + h / 2


def previous_by_hand(at: dict[str, list[float]], x: int, y: int) -> tuple[float, float] | None:
    return (x + at["tracking"][0], y + at["tracking"][1]) if "tracking" in at else None


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([("wh",), ("reg", "wh", "tracking"), ("reg", "wh", "ltrb"), ("wh", "ltrb", "ltrb_amodal")]),
    st.sampled_from([0.0, 0.3, 0.9]),
    st.sampled_from([1, 7, 100]),
)
def test_the_decoder_agrees_with_one_cell_at_a_time(seed: int, heads: tuple, threshold: float, top_k: int) -> None:
    recipe = recipe_of(*heads)
    arrays = predictions_of(recipe, seed)
    got = decode(arrays, recipe, threshold=threshold, top_k=top_k)
    expected = by_hand(arrays, recipe, threshold, top_k)
    assert [len(image) for image in got] == [len(image) for image in expected]
    for mine, theirs in zip(chain(*got), chain(*expected), strict=True):
        assert (mine.class_id, mine.cell) == (theirs.class_id, theirs.cell)
        assert mine.score == pytest.approx(theirs.score, rel=1e-5)
        assert mine.box == pytest.approx(theirs.box, abs=1e-4)
        assert mine.previous == pytest.approx(theirs.previous, abs=1e-4)


def test_applied_activation_is_not_applied_again() -> None:
    raw, applied = recipe_of("wh"), recipe_of("wh", activation={"hm": "applied"})
    arrays = predictions_of(raw, 0)
    activated = arrays | {"pred_hm": (1 / (1 + np.exp(-arrays["pred_hm"]))).astype(np.float32)}
    assert decode(arrays, raw) == decode(activated, applied)


def test_the_last_stack_counts() -> None:
    recipe = recipe_of("wh", num_stacks=2)
    last = predictions_of(recipe, 1)
    arrays = predictions_of(recipe, 0) | {f"{name}_stack1": array for name, array in last.items()}
    assert decode(arrays, recipe) == decode(last, recipe_of("wh"))


def test_half_precision_and_large_logits() -> None:
    recipe = recipe_of("wh")
    arrays = {name: array.astype(np.float16) for name, array in predictions_of(recipe, 0).items()}
    arrays["pred_hm"][:] = -60000
    arrays["pred_hm"][0, 1, 3, 4] = 60000
    first, second = decode(arrays, recipe)
    assert [(found.class_id, found.cell, found.score) for found in first] == [(2, (4.0, 3.0), 1.0)]
    assert second == []


def test_a_box_that_was_encoded_is_found_again() -> None:
    from lossrt.targets.encode import encode_frame
    from tests.device.test_preprocessing import frame_of

    recipe = load_recipe("mot17", input=(544, 960))
    box = [700.0, 300.0, 780.0, 520.0]
    targets = encode_frame(frame_of([box], (1080, 1920)), None, recipe).arrays
    arrays = {
        f"pred_{head}": np.zeros((1, count, *recipe.map_size), np.float32) for head, count in recipe.heads.items()
    }
    arrays["pred_hm"][0] = np.where(targets["hm"] == 1, 5, -5)
    column, row = targets["ind"][0] % 240, targets["ind"][0] // 240
    arrays["pred_ltrb_amodal"][0, :, row, column] = targets["ltrb_amodal"][0]
    (found,) = detections_in_image(decode(arrays, recipe)[0], recipe, image_size=(1080, 1920))
    assert found.box == pytest.approx(box, abs=1e-3)
    # The cell is the centre without its fraction, so at most one cell (8 px of the image) away from the middle.
    assert all(0 <= middle - cell < 8 for middle, cell in zip((740, 410), found.cell, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pred_hm": None}, "decode: expected 'pred_hm', got pred_reg, pred_wh; add it"),
        ({"pred_wh": None}, "decode: expected a head with boxes"),
        ({"pred_wh": np.zeros((2, 2, 8, 8))}, r"tensor 'pred_wh': expected \[2, 2, 8, 12\], got \[2, 2, 8, 8\]"),
        ({"pred_hm": np.zeros((2, 1, 8, 12))}, r"tensor 'pred_hm': expected \[2, 2, 8, 12\], got \[2, 1, 8, 12\]"),
        ({"pred_hm": np.zeros((2, 8, 12))}, r"tensor 'pred_hm': expected \[B, 2, H, W\], got \[2, 8, 12\]"),
    ],
    ids=["no-hm", "no-box", "size", "classes", "rank"],
)
def test_what_does_not_fit(change: dict, message: str) -> None:
    recipe = recipe_of("reg", "wh")
    arrays = {name: array for name, array in (predictions_of(recipe, 0) | change).items() if array is not None}
    with pytest.raises(InputError, match=message):
        decode(arrays, recipe)


def test_a_drawing_has_the_box_the_line_and_nothing_else() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    found = Detection(1, 0.5, (20.0, 10.0, 60.0, 50.0), (40.0, 30.0), (45.0, 30.0))
    drawn = draw(image, [found])
    assert not image.any()
    lit = drawn.any(axis=2)
    assert all(side.all() for side in (lit[10, 20:61], lit[50, 20:61], lit[10:51, 20], lit[10:51, 60]))
    assert lit[30, 40:46].all()
    assert not any(beside.any() for beside in (lit[30, 46:60], lit[:10], lit[51:], lit[:, :20], lit[:, 61:]))


def test_a_drawing_leaves_out_what_cannot_be_drawn() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    boxes = [(math.nan, 0.0, 1.0, 1.0), (5.0, 5.0, 4.0, 9.0), (-1e9, 0.0, math.inf, 5.0)]
    assert not draw(image, [Detection(1, 0.5, box, (0.0, 0.0), None) for box in boxes]).any()


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({}, {"threshold": float("nan")}, r"threshold in \[0, 1\]"),
        ({}, {"threshold": 1.5}, r"threshold in \[0, 1\]"),
        ({"pred_hm": np.zeros((1, 1, 4, 6), np.int64)}, {}, "'pred_hm': expected a numpy array of float32"),
        ({"pred_hm": [[[[0.0]]]]}, {}, "'pred_hm': expected a numpy array of float32 .*got list"),
    ],
    ids=["nan", "past 1", "whole numbers", "list"],
)
def test_what_cannot_be_decoded_is_named(changes, words, said):
    recipe = load_recipe("mot17", input=(16, 24))
    maps = {f"pred_{head}": np.zeros((1, size, 4, 6), np.float32) for head, size in recipe.heads.items()}
    with pytest.raises(InputError, match=said):
        decode({**maps, **changes}, recipe, **words)


def test_an_image_without_a_size():
    with pytest.raises(InputError, match="image_size: expected height and width >= 1 px"):
        detections_in_image([], load_recipe("mot17"), image_size=(0, 5))
