import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.validators.oracle.fast_focal import fast_focal
from tests.validators.samples import recipe_of, sample_batch

LOW = 1e-4


def one_pixel(logit: float, target: float, *, mask: float = 1.0, applied: bool = False) -> float:
    shape = (1, 1, 1, 1)
    slot = np.zeros((1, 1), np.int64)
    out = fast_focal(np.full(shape, logit), np.full(shape, target), slot, np.full((1, 1), mask), slot, applied=applied)
    return float(out.value)


def test_closed_form_of_one_pixel() -> None:
    p, t = 0.25, 0.5
    expected = -(math.log(1 - p) * p**2 * (1 - t) ** 4 + math.log(p) * (1 - p) ** 2)
    assert one_pixel(math.log(p / (1 - p)), t) == pytest.approx(expected, rel=1e-14)
    assert one_pixel(p, t, applied=True) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("logit", [9.3, 30.0, 1e4, math.inf], ids=["just past", "30", "1e4", "inf"])
def test_saturated_logits_stop_at_the_clamp(logit: float) -> None:
    high = -math.log(LOW) * (1 - LOW) ** 2
    assert one_pixel(logit, 0.0, mask=0.0) == pytest.approx(high, rel=1e-13)
    low = -math.log1p(-LOW) * LOW**2
    assert one_pixel(-logit, 0.0, mask=0.0) == pytest.approx(low, rel=1e-12)


@pytest.mark.parametrize("logit", [9.2, -9.2], ids=["high", "low"])
def test_inside_the_clamp_keeps_full_precision(logit: float) -> None:
    rest = math.exp(-logit) / (1 + math.exp(-logit))
    expected = -math.log(rest) / (1 + math.exp(-logit)) ** 2
    assert one_pixel(logit, 0.0, mask=0.0) == pytest.approx(expected, rel=1e-13)


def test_applied_is_not_clamped_again() -> None:
    assert one_pixel(1e-6, 0.0, mask=0.0, applied=True) == pytest.approx(1e-18, rel=1e-5)
    assert one_pixel(1.0, 0.0, mask=0.0, applied=True) == math.inf
    assert math.isnan(one_pixel(1.0, 1.0, mask=0.0, applied=True))


def test_without_objects_is_minus_neg_and_leaves_pos_out() -> None:
    arrays = sample_batch(recipe_of(), 3)
    args = [arrays[key] for key in ("pred_hm", "hm", "ind")]
    out = fast_focal(*args, np.zeros_like(arrays["mask"]), arrays["cat"], applied=False)
    p = 1 / (1 + np.exp(-arrays["pred_hm"].astype(np.float64)))
    neg = np.sum(np.log1p(-p) * p**2 * (1 - arrays["hm"].astype(np.float64)) ** 4)
    assert float(out.value) == pytest.approx(-neg, rel=1e-13)


def test_two_objects_on_one_pixel_count_twice_and_padding_does_not() -> None:
    pred, target = np.full((1, 1, 1, 2), 0.3), np.ones((1, 1, 1, 2))
    ind, cat = np.array([[1, 1, 0]]), np.zeros((1, 3), np.int64)
    one = fast_focal(pred, target, ind, np.array([[1.0, 0.0, 0.0]]), cat, applied=False)
    two = fast_focal(pred, target, ind, np.array([[1.0, 1.0, 0.0]]), cat, applied=False)
    assert float(two.value) == pytest.approx(float(one.value), rel=1e-14)
    assert two.terms == 2 + 3


def test_nan_under_an_empty_slot_comes_through() -> None:
    # The map itself is clean; only the gather reads the NaN, through a slot whose mask is 0.
    pred = np.array([[[[0.0, np.nan]]]])
    ind, cat, mask = np.array([[0, 1]]), np.zeros((1, 2), np.int64), np.array([[1.0, 0.0]])
    assert math.isnan(float(fast_focal(pred, np.ones((1, 1, 1, 2)), ind, mask, cat, applied=False).value))


@given(
    seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.1, 3.0, 30.0]), objects=st.sampled_from([0.0, 0.3, 1.0])
)
def test_every_term_has_one_sign_so_scale_is_value_and_rounded_logarithms(
    seed: int, spread: float, objects: float
) -> None:
    arrays = sample_batch(recipe_of(), seed, spread=spread, objects=objects)
    args = [arrays[key] for key in ("pred_hm", "hm", "ind", "mask", "cat")]
    out = fast_focal(*args, applied=False)
    assert float(out.value) >= 0
    assert out.terms == 2 * 3 * 4 * 6 + 2 * 5
    # Each of the logarithms' arguments is rounded once, and a factor is at most 1.
    rounded = (float(out.scale) - float(out.value)) * np.sqrt(out.terms) * max(float(arrays["mask"].sum()), 1)
    assert 0 < rounded <= out.terms


def test_a_background_at_one_value_may_be_off_by_one_rounding_a_pixel() -> None:
    # log(1 + 1e-4) in float32 keeps 4 digits: the sum of 10^4 such terms is off by as much as each of them.
    pred = np.full((1, 1, 100, 100), -9.0)
    nothing, slot = np.zeros_like(pred), np.zeros((1, 1), np.int64)
    out = fast_focal(pred, nothing, slot, np.zeros((1, 1)), slot, applied=False)
    odds = np.exp(pred.astype(np.float32))
    narrow = np.log(1 + odds).astype(np.float64) * (odds / (1 + odds)).astype(np.float64) ** 2
    off = abs(float(narrow.sum() - out.value))
    assert off > 8 * np.sqrt(out.terms) * 2.0**-24 * float(out.value)
    assert off < np.sqrt(out.terms) * 2.0**-24 * float(out.scale)


@pytest.mark.parametrize("objects", [0.0, 0.6], ids=["empty", "objects"])
@pytest.mark.parametrize("applied", [False, True], ids=["raw", "applied"])
def test_equals_upstreams_operators_in_float64(applied: bool, objects: float) -> None:
    torch = pytest.importorskip("torch")
    recipe = recipe_of(activation={"hm": "applied"} if applied else {})
    arrays = sample_batch(recipe, 11, objects=objects)
    p, t, mask = (torch.from_numpy(arrays[key]).double() for key in ("pred_hm", "hm", "mask"))
    ind, cat = torch.from_numpy(arrays["ind"]), torch.from_numpy(arrays["cat"])
    if not applied:
        p = torch.clamp(torch.sigmoid(p), 1e-4, 1 - 1e-4)
    neg = (torch.log(1 - p) * p.pow(2) * (1 - t).pow(4)).sum()
    rows = p.permute(0, 2, 3, 1).reshape(p.shape[0], -1, p.shape[1])
    q = rows.gather(1, ind.unsqueeze(2).expand(-1, -1, p.shape[1])).gather(2, cat.unsqueeze(2)).squeeze(2)
    pos = (torch.log(q) * (1 - q).pow(2) * mask).sum()
    expected = -neg if mask.sum() == 0 else -(pos + neg) / mask.sum()
    out = fast_focal(*(arrays[key] for key in ("pred_hm", "hm", "ind", "mask", "cat")), applied=applied)
    assert float(out.value) == pytest.approx(float(expected), rel=1e-11)
