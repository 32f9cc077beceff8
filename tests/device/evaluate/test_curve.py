import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.device.evaluate.curve import COLUMNS, Curve, curve_svg


def curve(values):
    made = Curve()
    for value in values:
        made.add(value)
    return made


@given(st.integers(1, 6000), st.integers(0, 2**32 - 1))
def test_columns_hold_the_range_and_mean_of_their_frames(count, seed):
    values = np.random.default_rng(seed).normal(size=count)
    thinned = curve(values)
    columns, step = thinned.columns(), thinned.frames_a_column
    assert len(columns) <= 2 * COLUMNS
    assert step * len(columns) >= count > step * (len(columns) - 1)
    for number, (least, mean, most) in enumerate(columns):
        part = values[number * step : (number + 1) * step]
        assert (least, most) == (part.min(), part.max())
        assert mean == pytest.approx(part.mean(), rel=1e-9, abs=1e-12)


def test_what_is_not_finite_leaves_a_gap():
    assert curve([1.0, math.nan, math.inf, 2.0]).columns() == [(1, 1, 1), None, None, (2, 2, 2)]


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [0.0, 0.0], [math.nan] * 3, [1e-9, 1e9], [1.0, math.nan, 2.0], list(range(5000)), [-1.0, 5.0]],
    ids=["none", "one", "zeros", "nan", "decades", "gap", "many", "negative"],
)
def test_the_picture_is_sound_and_small(values):
    text = curve_svg({"loss": curve(values), "loss_hm": curve(values)}, title="a < b & c", frames=len(values))
    ElementTree.fromstring(text)
    assert len(text) < 200_000
    assert "nan" not in text
    assert "inf" not in text
    for coordinate in re.findall(r"[\d.-]+,([\d.-]+)", " ".join(re.findall(r'points="([^"]*)"', text))):
        assert 0 <= float(coordinate) <= 320


def test_its_size_does_not_grow_with_the_frames():
    rng = np.random.default_rng(0)
    short, long = (len(curve_svg({"loss": curve(rng.normal(size=n))}, title="t", frames=n)) for n in (2000, 40000))
    assert long < 1.5 * short


def test_a_gap_parts_the_line():
    text = curve_svg({"loss": curve([1.0, 2.0, math.nan, 1.0, 2.0])}, title="t", frames=5)
    assert text.count("<polyline") == 2


def test_higher_losses_stand_higher():
    text = curve_svg({"loss": curve([1.0, 2.0, 3.0])}, title="t", frames=3)
    heights = [float(y) for y in re.findall(r",([\d.]+)", re.search(r'<polyline points="([^"]*)"', text)[1])]
    assert heights == sorted(heights, reverse=True)
