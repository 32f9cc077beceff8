import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.validators.oracle.reg_weighted_l1 import reg_weighted_l1
from tests.validators.samples import recipe_of, sample_batch


def test_by_hand() -> None:
    pred = np.array([[[[1.0, 2.0]], [[3.0, 5.0]]]], np.float32)
    target = np.array([[[1.5, 0.0], [9.0, 9.0]]], np.float32)
    mask = np.array([[[1.0, 1.0], [0.0, 0.0]]], np.float32)
    out = reg_weighted_l1(pred, target, mask, np.array([[1, 0]]))
    assert float(out.value) == pytest.approx((0.5 + 5.0) / 2.0001, rel=1e-15)
    assert float(out.scale) == float(out.value)
    assert out.terms == 4


def test_without_objects_is_exactly_zero() -> None:
    arrays = sample_batch(recipe_of(), objects=0.0)
    out = reg_weighted_l1(arrays["pred_reg"], arrays["reg"], arrays["reg_mask"], arrays["ind"])
    assert (float(out.value), float(out.scale)) == (0.0, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=["nan", "inf"])
def test_non_finite_under_an_empty_slot_is_nan(bad: float) -> None:
    pred = np.array([[[[1.0, bad]]]])
    out = reg_weighted_l1(pred, np.zeros((1, 2, 1)), np.array([[[1.0], [0.0]]]), np.array([[0, 1]]))
    assert math.isnan(float(out.value))


def test_non_finite_off_the_slots_is_never_read() -> None:
    pred = np.array([[[[1.0, np.nan]]]])
    out = reg_weighted_l1(pred, np.zeros((1, 1, 1)), np.ones((1, 1, 1)), np.array([[0]]))
    assert float(out.value) == pytest.approx(1 / 1.0001)


@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([0.5, 2.0, 1024.0]))
def test_scales_with_its_unit(seed: int, factor: float) -> None:
    arrays = sample_batch(recipe_of(), seed)
    pred, target, mask, ind = (arrays[key] for key in ("pred_wh", "wh", "wh_mask", "ind"))
    once, more = reg_weighted_l1(pred, target, mask, ind), reg_weighted_l1(pred * factor, target * factor, mask, ind)
    assert float(more.value) == float(once.value) * factor
    assert float(more.scale) == float(once.scale) * factor


def test_equals_upstreams_operators_in_float64() -> None:
    torch = pytest.importorskip("torch")
    arrays = sample_batch(recipe_of(), 5)
    pred, target, mask = (torch.from_numpy(arrays[k]).double() for k in ("pred_wh", "wh", "wh_mask"))
    rows = pred.permute(0, 2, 3, 1).reshape(2, -1, 2)
    taken = rows.gather(1, torch.from_numpy(arrays["ind"]).unsqueeze(2).expand(-1, -1, 2))
    total = torch.nn.functional.l1_loss(taken * mask, target * mask, reduction="sum") / (mask.sum() + 1e-4)
    out = reg_weighted_l1(arrays["pred_wh"], arrays["wh"], arrays["wh_mask"], arrays["ind"])
    assert float(out.value) == pytest.approx(float(total), rel=1e-14)
