import math

import numpy as np
import pytest

from lossrt.validators.oracle.depth import depth_of
from lossrt.validators.oracle.reg_weighted_l1 import reg_weighted_l1

FAR = 1e6 - 1


@pytest.mark.parametrize("x", [-12.0, -3.0, 0.0, 2.5, 12.0], ids=str)
def test_closed_form(x: float) -> None:
    value, scale = depth_of(np.array(x))
    sigmoid = 1 / (1 + math.exp(-x))
    assert float(value) == pytest.approx(1 / (sigmoid + 1e-6) - 1, rel=1e-9)
    assert float(scale) >= 1 / (sigmoid + 1e-6) + 1


@pytest.mark.parametrize(
    ("x", "depth"),
    [(-100.0, FAR), (-1e4, FAR), (-math.inf, FAR), (math.inf, 1 / 1.000001 - 1), (1e4, 1 / 1.000001 - 1)],
    ids=["-100", "-1e4", "-inf", "inf", "1e4"],
)
def test_ends_are_finite(x: float, depth: float) -> None:
    value, scale = depth_of(np.array(x))
    assert float(value) == pytest.approx(depth, rel=1e-9)
    assert math.isfinite(float(scale))


def test_nan_stays() -> None:
    assert math.isnan(float(depth_of(np.array(math.nan))[0]))


@pytest.mark.parametrize("x", [-12.0, -8.0, -1.0, 0.0, 4.0, 12.0], ids=str)
def test_scale_bounds_upstreams_rounding_in_float32(x: float) -> None:
    logits = np.linspace(x - 0.5, x + 0.5, 201).astype(np.float32)
    naive = np.float32(1) / (np.float32(1) / (np.float32(1) + np.exp(-logits)) + np.float32(1e-6)) - np.float32(1)
    value, scale = depth_of(logits.astype(np.float64))
    excess = np.abs(naive - value) / (2.0**-24 * scale)
    assert 0.1 < excess.max() < 5


def test_the_loss_reads_raw_depth_and_scales_with_the_cancelled_one() -> None:
    pred, target, one = np.full((1, 1, 1, 1), 12.0), np.zeros((1, 1, 1)), np.ones((1, 1, 1))
    slot = np.zeros((1, 1), np.int64)
    out = reg_weighted_l1(pred, target, one, slot, raw_depth=True)
    depth = 1 / (1 / (1 + math.exp(-12)) + 1e-6) - 1
    assert float(out.value) == pytest.approx(depth / 1.0001, rel=1e-9)
    assert float(out.scale) > 1.9
    assert float(reg_weighted_l1(pred, target, one, slot).value) == pytest.approx(12 / 1.0001, rel=1e-14)


def test_an_empty_slot_adds_nothing_to_value_and_scale() -> None:
    pred, slot = np.full((1, 1, 1, 1), -12.0), np.zeros((1, 1), np.int64)
    out = reg_weighted_l1(pred, np.ones((1, 1, 1)), np.zeros((1, 1, 1)), slot, raw_depth=True)
    assert (float(out.value), float(out.scale)) == (0.0, 0.0)
