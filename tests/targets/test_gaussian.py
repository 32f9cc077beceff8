import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lossrt.targets.gaussian import draw_peak, gaussian_radius, shift_root
from tests.targets import brute_force


def test_radius_is_the_smallest_of_the_three_roots():
    heights, widths = (side.ravel() for side in np.meshgrid(np.arange(1, 120), np.arange(1, 120)))
    wanted = [brute_force.radius(int(h), int(w)) for h, w in zip(heights, widths, strict=True)]
    assert gaussian_radius(heights.astype(np.float32), widths.astype(np.float32)).tolist() == wanted


@given(st.floats(0.01, 0.99), st.floats(0.01, 300), st.floats(0.01, 300))
def test_no_other_root_is_smaller_whatever_the_overlap(overlap, height, width):
    root = shift_root(np.array([height]), np.array([width]), overlap=overlap)[0]
    assert -1e-9 <= root <= (height + width) / 4 + 1e-9
    assert brute_force.radius(height, width, share=overlap) == max(0, int(root))


def test_radius_rounds_the_box_up():
    np.testing.assert_array_equal(
        gaussian_radius(np.array([10.01]), np.array([20.5])), gaussian_radius(np.array([11.0]), np.array([21.0]))
    )


def test_radius_of_nothing():
    assert gaussian_radius(np.zeros(0), np.zeros(0)).shape == (0,)


@given(st.integers(0, 14), st.integers(0, 9), st.integers(0, 12), st.floats(0, 1, width=32))
def test_peak_keeps_what_is_higher_and_stays_in_its_window(column, row, radius, level):
    heatmap = np.full((10, 15), level, dtype=np.float32)
    draw_peak(heatmap, column, row, radius)
    assert heatmap[row, column] == 1.0
    assert heatmap.min() >= level
    assert heatmap.max() == 1.0
    y, x = np.nonzero(heatmap > level)
    assert not y.size or max(np.abs(y - row).max(), np.abs(x - column).max()) <= radius


def test_peak_is_the_closed_form():
    heatmap = np.zeros((9, 9), dtype=np.float32)
    draw_peak(heatmap, 4, 4, 2)
    deviation = 5 / 6
    assert heatmap[4, 5] == np.float32(math.exp(-1 / (2 * deviation**2)))
    assert heatmap[6, 6] == np.float32(math.exp(-8 / (2 * deviation**2)))
    assert heatmap[4, 7] == 0
    np.testing.assert_array_equal(heatmap, heatmap.T)


def test_the_widest_window_has_no_value_near_the_type_epsilon():
    heatmap = np.zeros((401, 401), dtype=np.float32)
    draw_peak(heatmap, 200, 200, 200)
    assert heatmap.min() > math.exp(-9)
