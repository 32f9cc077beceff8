import math

import numpy as np
import pytest

from lossrt.validators.oracle.fast_focal import fast_focal
from lossrt.validators.oracle.focal import focal

P = np.array([[[[0.25, 0.5, 0.9]]]])


def test_positives_are_the_pixels_at_1_and_negatives_those_below() -> None:
    t = np.array([[[[1.0, 0.5, 0.0]]]])
    positive = math.log(0.25) * 0.75**2
    negative = math.log(0.5) * 0.5**2 * 0.5**4 + math.log(0.1) * 0.9**2
    out = focal(P, t, applied=True)
    assert float(out.value) == pytest.approx(-(positive + negative), rel=1e-14)
    factors = 0.75**2 + 0.5**2 * 0.5**4 + 0.9**2
    assert float(out.scale) == pytest.approx(float(out.value) + factors / math.sqrt(3), rel=1e-14)
    assert out.terms == 3


def test_the_divisor_is_the_number_of_pixels_at_1() -> None:
    two = focal(P, np.array([[[[1.0, 1.0, 0.0]]]]), applied=True)
    sums = math.log(0.25) * 0.75**2 + math.log(0.5) * 0.5**2 + math.log(0.1) * 0.9**2
    assert float(two.value) == pytest.approx(-sums / 2, rel=1e-14)


def test_without_a_pixel_at_1_is_minus_neg() -> None:
    out = focal(P, np.full_like(P, 0.5), applied=True)
    negative = sum(math.log(1 - p) * p**2 * 0.5**4 for p in (0.25, 0.5, 0.9))
    assert float(out.value) == pytest.approx(-negative, rel=1e-14)
    assert float(out.scale) > -negative


def test_a_pixel_just_below_1_is_a_negative() -> None:
    t = np.nextafter(np.float32(1), np.float32(0))
    assert float(focal(np.full((1, 1, 1, 1), 0.5), np.full((1, 1, 1, 1), t), applied=True).value) < 1e-20


def test_logits_are_activated_and_clamped() -> None:
    t = np.array([[[[1.0, 0.0, 0.0]]]])
    raw = focal(np.log(P / (1 - P)), t, applied=False)
    assert float(raw.value) == pytest.approx(float(focal(P, t, applied=True).value), rel=1e-13)
    far = focal(np.full((1, 1, 1, 1), -math.inf), np.ones((1, 1, 1, 1)), applied=False)
    assert float(far.value) == pytest.approx(-math.log(1e-4) * (1 - 1e-4) ** 2, rel=1e-13)


def test_ignored_pixels_count_as_positives_here_but_not_in_fast_focal() -> None:
    # CenterTrack sets ignored regions to 1: without a slot they cost nothing there; CornerNet's loss counts them.
    t, slot = np.ones((1, 1, 1, 3)), np.zeros((1, 1), np.int64)
    assert float(fast_focal(P, t, slot, np.zeros((1, 1)), slot, applied=True).value) == 0
    expected = -sum(math.log(p) * (1 - p) ** 2 for p in (0.25, 0.5, 0.9)) / 3
    assert float(focal(P, t, applied=True).value) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("where", ["pred", "target"])
def test_nan_comes_through(where: str) -> None:
    pred, t = P.copy(), np.array([[[[1.0, 0.5, 0.0]]]])
    (pred if where == "pred" else t)[..., 1] = math.nan
    assert math.isnan(float(focal(pred, t, applied=True).value))


def test_zero_times_infinity_is_nan_where_a_positive_is_certain() -> None:
    # log(1 − p) = −∞, multiplied by the 0 that a positive has as a negative.
    one = np.ones((1, 1, 1, 1))
    assert math.isnan(float(focal(one, one, applied=True).value))


def test_certain_misses_without_positives_leave_pos_out() -> None:
    pred, t = np.array([[[[0.0, 0.5]]]]), np.zeros((1, 1, 1, 2))
    out = focal(pred, t, applied=True)
    assert float(out.value) == pytest.approx(-math.log(0.5) * 0.25, rel=1e-14)
    assert math.isfinite(float(out.scale))
    slot = np.zeros((1, 1), np.int64)
    fast = fast_focal(pred, t, slot, np.zeros((1, 1)), slot, applied=True)
    assert float(fast.value) == float(out.value)
    assert float(fast.scale) < 3 * float(out.value)
