"""The regression losses whose mask is one number an object: by hand, without objects, with what is not finite."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.validators.oracle.code_weighted_l1 import channel_l1, code_weighted_l1
from lossrt.validators.oracle.l1 import l1
from lossrt.validators.oracle.norm_reg_l1 import norm_reg_l1
from lossrt.validators.oracle.reg_l1 import reg_l1
from lossrt.validators.oracle.smooth_l1 import smooth_l1

# Two channels on two pixels; slot 0 holds an object at pixel 1, (2, 5), slot 1 none.
PRED = np.array([[[[1.0, 2.0]], [[3.0, 5.0]]]], np.float32)
TARGET = np.array([[[1.5, 8.0], [9.0, 9.0]]], np.float32)
MASK = np.array([[1.0, 0.0]], np.float32)
IND = np.array([[1, 0]])
LOSSES = {"reg_l1": reg_l1, "norm_reg_l1": norm_reg_l1, "l1": l1, "smooth_l1": smooth_l1}
EXPECTED = {
    "reg_l1": (0.5 + 3) / 2.0001,
    "norm_reg_l1": (abs(2 / 1.5001 - 1) + abs(5 / 8.0001 - 1)) / 2.0001,
    "l1": (0.5 + 3) / 4,
    "smooth_l1": (0.5**2 / 2 + 2.5) / 1.0001,
}
losses = pytest.mark.parametrize("name", LOSSES)


@losses
def test_by_hand(name: str) -> None:
    out = LOSSES[name](PRED, TARGET, MASK, IND)
    assert float(out.value) == pytest.approx(EXPECTED[name], rel=1e-14)
    assert float(out.scale) >= float(out.value)
    assert out.terms == 4


@losses
def test_without_objects_is_exactly_zero(name: str) -> None:
    out = LOSSES[name](PRED, TARGET, np.zeros_like(MASK), IND)
    assert (float(out.value), float(out.scale)) == (0.0, 0.0)


@losses
@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("where", ["prediction", "target"])
def test_non_finite_under_an_empty_slot_is_nan(name: str, where: str, bad: float) -> None:
    pred, target = PRED.copy(), TARGET.copy()
    if where == "prediction":
        pred[0, 0, 0, 0] = bad
    else:
        target[0, 1, 0] = bad
    assert math.isnan(float(LOSSES[name](pred, target, MASK, IND).value))


@losses
def test_infinite_under_an_object_is_infinite(name: str) -> None:
    pred = PRED.copy()
    pred[0, 0, 0, 1] = -math.inf
    assert float(LOSSES[name](pred, TARGET, MASK, IND).value) == math.inf


def test_a_target_that_is_not_finite_makes_the_ratio_nan_as_upstream() -> None:
    target = TARGET.copy()
    target[0, 0, 0] = math.inf
    assert math.isnan(float(norm_reg_l1(PRED, target, MASK, IND).value))


@losses
@pytest.mark.parametrize("x", [-12.0, 12.0], ids=["far", "near"])
def test_raw_depth_is_read_as_depth(name: str, x: float) -> None:
    pred, target, mask, slot = np.full((1, 1, 1, 1), x), np.full((1, 1, 1), 3.0), np.ones((1, 1)), np.zeros((1, 1), int)
    depth = (1 / (1 / (1 + math.exp(-x)) + 1e-6)) - 1
    raw = LOSSES[name](pred, target, mask, slot, raw_depth=True)
    given_depth = LOSSES[name](np.full_like(pred, depth), target, mask, slot)
    assert float(raw.value) == pytest.approx(float(given_depth.value), rel=1e-9)
    assert float(raw.scale) > float(given_depth.scale)


@pytest.mark.parametrize("distance", [0.0, 0.25, 1.0, 1.5], ids=str)
def test_smooth_l1_turns_linear_at_1(distance: float) -> None:
    pred, slot = np.full((1, 1, 1, 1), distance), np.zeros((1, 1), np.int64)
    out = smooth_l1(pred, np.zeros((1, 1, 1)), np.ones((1, 1)), slot)
    expected = distance**2 / 2 if distance <= 1 else distance - 0.5
    assert float(out.value) == pytest.approx(expected / 1.0001, rel=1e-14)


@pytest.mark.parametrize(("distance", "scale"), [(0.5, 0.125), (3.0, 3.5)], ids=["quadratic", "linear"])
def test_smooth_l1_keeps_the_scale_of_both_parts(distance: float, scale: float) -> None:
    pred, slot = np.full((1, 1, 1, 1), distance), np.zeros((1, 1), np.int64)
    out = smooth_l1(pred, np.zeros((1, 1, 1)), np.ones((1, 1)), slot)
    assert float(out.scale) == pytest.approx(scale / 1.0001, rel=1e-14)


def test_a_good_ratio_keeps_the_scale_of_both_parts() -> None:
    pred, target = np.full((1, 1, 1, 1), 4.0001), np.full((1, 1, 1), 4.0)
    out = norm_reg_l1(pred, target, np.ones((1, 1)), np.zeros((1, 1), np.int64))
    assert float(out.value) == pytest.approx(0, abs=1e-12)
    assert float(out.scale) == pytest.approx(2 / 1.0001, rel=1e-4)


def test_channels_are_kept_apart_then_weighted() -> None:
    vector = channel_l1(PRED, TARGET, MASK, IND)
    np.testing.assert_allclose(vector.value, [0.5 / 1.0001, 3 / 1.0001], rtol=1e-14)
    np.testing.assert_array_equal(vector.scale, vector.value)
    assert vector.terms == 2
    out = code_weighted_l1(vector, [0.2, -1.0])
    assert float(out.value) == pytest.approx((0.2 * 0.5 - 3) / 1.0001, rel=1e-14)
    assert float(out.scale) == pytest.approx((0.2 * 0.5 + 3) / 1.0001, rel=1e-14)
    assert out.terms == 4


def test_one_bad_channel_spoils_itself_and_the_sum() -> None:
    pred = PRED.copy()
    pred[0, 1, 0, 0] = math.nan
    vector = channel_l1(pred, TARGET, MASK, IND)
    assert np.isnan(vector.value).tolist() == [False, True]
    assert math.isnan(float(code_weighted_l1(vector, [1.0, 0.0]).value))


@given(seed=st.integers(0, 2**32 - 1), objects=st.sampled_from([0.0, 0.3, 1.0]), name=st.sampled_from(list(LOSSES)))
def test_slots_without_object_do_not_matter(seed: int, objects: float, name: str) -> None:
    rng = np.random.default_rng(seed)
    pred, target = rng.normal(0, 3, (2, 3, 4, 5)), rng.normal(0, 3, (2, 6, 3))
    ind, mask = rng.integers(0, 20, (2, 6)), (rng.random((2, 6)) < objects).astype(np.float64)
    out = LOSSES[name](pred, target, mask, ind)
    moved, elsewhere = np.where(mask[:, :, None] > 0, target, 7.0), np.where(mask > 0, ind, 0)
    again = LOSSES[name](pred, moved, mask, elsewhere)
    assert (float(again.value), float(again.scale)) == (float(out.value), float(out.scale))
    assert float(out.scale) >= float(out.value) >= 0
