import math

import numpy as np
import pytest

from lossrt.validators.oracle.bin_rot import bin_rot

LN2 = math.log(2)
# One row by pixel: two logits, sine and cosine, for both bins.
ROWS = np.array([[1.0, -1.0, 0.5, 0.2, 0.3, 2.0, -3.0, 0.1], [4.0, 0.0, 2.0, 2.0, -1.0, 1.0, 0.0, 0.0]])
PRED = ROWS.T.reshape(1, 8, 1, 2)
IND = np.array([[0, 1]])


def estimate(mask: list[float], bins: list[list[int]], angles: list[list[float]], pred: np.ndarray = PRED):
    return bin_rot(pred, np.array([mask]), IND, np.array([bins]), np.array([angles]))


def entropy(logits: np.ndarray, target: int) -> float:
    return math.log(sum(math.exp(x) for x in logits)) - float(logits[target])


def smooth(distance: float) -> float:
    return distance**2 / 2 if abs(distance) < 1 else abs(distance) - 0.5


def test_by_hand() -> None:
    out = estimate([1, 1], [[1, 0], [1, 1]], [[0.3, 0.0], [-0.2, 2.0]])
    classes = [entropy(ROWS[0, :2], 1), entropy(ROWS[1, :2], 1), entropy(ROWS[0, 4:6], 0), entropy(ROWS[1, 4:6], 1)]
    first = [smooth(0.5 - math.sin(0.3)), smooth(0.2 - math.cos(0.3)), smooth(2 + math.sin(0.2))]
    first.append(smooth(2 - math.cos(0.2)))
    second = [smooth(0 - math.sin(2)), smooth(0 - math.cos(2))]
    assert float(out.value) == pytest.approx(sum(classes) / 2 + sum(first) / 2 + sum(second), rel=1e-14)
    assert float(out.scale) > float(out.value)
    assert 0 < out.terms <= 2 * 3 * 2


def test_empty_slots_add_ln_2_a_bin_and_are_averaged_over() -> None:
    assert float(estimate([0, 0], [[0, 0]] * 2, [[0.0, 0.0]] * 2).value) == pytest.approx(2 * LN2, rel=1e-15)
    half = estimate([1, 0], [[0, 0]] * 2, [[0.0, 0.0]] * 2)
    expected = (entropy(ROWS[0, :2], 0) + entropy(ROWS[0, 4:6], 0)) / 2 + LN2
    assert float(half.value) == pytest.approx(expected, rel=1e-14)


def test_a_bin_without_an_object_adds_no_residual() -> None:
    none = estimate([1, 1], [[0, 0], [0, 0]], [[9.0, 9.0]] * 2)
    second = estimate([1, 1], [[0, 0], [0, 1]], [[9.0, 9.0], [9.0, 0.0]])
    swap = entropy(ROWS[1, 4:6], 1) - entropy(ROWS[1, 4:6], 0)
    assert float(second.value) - float(none.value) == pytest.approx(swap / 2 + smooth(0) + smooth(1), rel=1e-13)


def test_residuals_follow_the_bin_and_not_the_mask() -> None:
    masked = estimate([0, 0], [[0, 1], [0, 0]], [[0.0, 0.5], [0.0, 0.0]])
    expected = 2 * LN2 + smooth(-3 - math.sin(0.5)) + smooth(0.1 - math.cos(0.5))
    assert float(masked.value) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("field", range(8))
@pytest.mark.parametrize("inside", [0, 1], ids=["outside", "inside"])
def test_nan_enters_through_logits_always_and_through_residuals_of_the_bin_only(field: int, inside: int) -> None:
    pred = PRED.copy()
    pred[0, field, 0, 1] = math.nan
    out = estimate([1, 0], [[1, 1], [inside, inside]], [[0.1, 0.1]] * 2, pred)
    assert math.isnan(float(out.value)) == (field in {0, 1, 4, 5} or bool(inside))


def test_an_angle_that_is_not_finite_matters_inside_its_bin_only() -> None:
    bins = [[1, 0], [0, 0]]
    assert math.isfinite(float(estimate([1, 1], bins, [[0.1, math.nan], [math.nan, math.nan]]).value))
    assert math.isnan(float(estimate([1, 1], bins, [[math.nan, 0.1], [0.1, 0.1]]).value))


@pytest.mark.parametrize(("logit", "expected"), [(math.inf, math.nan), (-math.inf, math.inf)], ids=["inf", "-inf"])
def test_infinite_logits_as_pytorch(logit: float, expected: float) -> None:
    pred = PRED.copy()
    pred[0, 1, 0, 0] = logit
    out = estimate([1, 1], [[1, 0], [0, 0]], [[0.1, 0.1]] * 2, pred)
    np.testing.assert_equal(float(out.value), expected)


def test_large_logits_do_not_overflow() -> None:
    pred = PRED * 1000
    out = estimate([1, 1], [[0, 0]] * 2, [[0.0, 0.0]] * 2, pred)
    assert float(out.value) == pytest.approx((1700 + 2000) / 2, rel=1e-12)


def test_a_good_residual_keeps_the_scale_of_its_sine() -> None:
    # Off by 1e-3, the penalty is 5e-7, but an error of 1 ulp in the sine alone moves it by 1e-3 ulp.
    pred = np.zeros_like(PRED)
    pred[0, 2, 0, 0], pred[0, 3, 0, 0] = math.sin(0.4) + 1e-3, math.cos(0.4)
    inside, outside = (estimate([0, 0], [[bin_, 0], [0, 0]], [[0.4, 0.0]] * 2, pred) for bin_ in (1, 0))
    assert float(inside.value - outside.value) == pytest.approx(5e-7, rel=1e-9)
    assert float(inside.scale - outside.scale) == pytest.approx(1e-3, rel=1e-2)
