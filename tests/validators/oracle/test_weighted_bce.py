import math

import numpy as np
import pytest

from lossrt.validators.oracle.weighted_bce import weighted_bce


def one(x: float, t: float, mask: float = 1.0) -> tuple[float, float]:
    slot = np.zeros((1, 1), np.int64)
    out = weighted_bce(np.full((1, 1, 1, 1), x), np.full((1, 1, 1), t), np.full((1, 1, 1), mask), slot)
    assert out.terms == 1
    return float(out.value), float(out.scale)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0], ids=str)
@pytest.mark.parametrize("x", [-5.0, -0.1, 0.0, 2.0], ids=str)
def test_closed_form(x: float, t: float) -> None:
    sigmoid = 1 / (1 + math.exp(-x))
    value, scale = one(x, t)
    assert value == pytest.approx(-(t * math.log(sigmoid) + (1 - t) * math.log(1 - sigmoid)) / 1.0001, rel=1e-12)
    assert scale * (1 + 1e-12) >= value


@pytest.mark.parametrize(
    ("x", "t", "expected"),
    [(500.0, 0.0, 500.0), (-500.0, 1.0, 500.0), (500.0, 1.0, 0.0), (-500.0, 0.0, 0.0)],
    ids=["wrong-high", "wrong-low", "right-high", "right-low"],
)
def test_saturated(x: float, t: float, expected: float) -> None:
    assert one(x, t)[0] == pytest.approx(expected / 1.0001, abs=1e-200)


def test_scale_holds_the_parts_that_cancel() -> None:
    value, scale = one(20.0, 1.0)
    assert value == pytest.approx(2e-9, rel=0.1)
    assert scale == pytest.approx(40 / 1.0001)


def test_infinite_logits_as_pytorch() -> None:
    inf = math.inf
    values = {(x, t): one(x, t)[0] for x in (inf, -inf) for t in (0.0, 1.0)}
    assert values.pop((inf, 0.0)) == inf
    assert all(math.isnan(value) for value in values.values())


def test_a_mask_is_an_element_and_multiplies() -> None:
    pred, ind = np.array([[[[1.0, -2.0]], [[3.0, math.nan]]]]), np.array([[0, 1]])
    target, mask = np.zeros((1, 2, 2)), np.array([[[1.0, 1.0], [1.0, 0.0]]])
    assert math.isnan(float(weighted_bce(pred, target, mask, ind).value))
    pred[0, 1, 0, 1] = 9.0
    expected = sum(math.log1p(math.exp(x)) for x in (1, 3, -2)) / 3.0001
    assert float(weighted_bce(pred, target, mask, ind).value) == pytest.approx(expected, rel=1e-14)


def test_without_objects_is_exactly_zero() -> None:
    assert one(3.0, 0.0, mask=0.0) == (0.0, 0.0)
