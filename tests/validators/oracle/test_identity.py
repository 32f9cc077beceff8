import math

import numpy as np
import pytest

from lossrt.validators.oracle.identity import identity

WEIGHT = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]])
BIAS = np.array([0.1, -0.2, 0.0])
PRED = np.array([[[[3.0, 0.0]], [[4.0, -2.0]]]])  # (3, 4) and (0, −2)
IND = np.array([[0, 1]])
LENGTH = math.sqrt(2) * math.log(2)


def estimate(ids: list[int], mask: tuple[float, ...] = (1.0, 1.0), pred: np.ndarray = PRED):
    return identity(pred, np.array([mask]), IND, np.array([ids]), WEIGHT, BIAS)


def entropy(direction: tuple[float, float], target: int) -> float:
    logits = WEIGHT @ (LENGTH * np.array(direction)) + BIAS
    return math.log(sum(math.exp(x) for x in logits)) - float(logits[target])


def test_by_hand() -> None:
    out = estimate([2, 0])
    assert float(out.value) == pytest.approx((entropy((0.6, 0.8), 2) + entropy((0, -1), 0)) / 2, rel=1e-14)
    assert out.terms == 2 + 3 + 2


@pytest.mark.parametrize(("ids", "mask"), [([2, -1], (1, 1)), ([2, 0], (1, 0))], ids=["no-identity", "no-object"])
def test_mean_over_objects_with_an_identity(ids: list[int], mask: tuple[float, float]) -> None:
    assert float(estimate(ids, mask).value) == pytest.approx(entropy((0.6, 0.8), 2), rel=1e-14)


@pytest.mark.parametrize(("ids", "mask"), [([-1, -1], (1, 1)), ([0, 1], (0, 0))], ids=["no-identity", "no-object"])
def test_a_mean_over_nothing_is_nan(ids: list[int], mask: tuple[float, float]) -> None:
    assert math.isnan(float(estimate(ids, mask).value))


def test_what_does_not_count_is_not_read() -> None:
    pred = PRED.copy()
    pred[..., 1] = math.nan
    assert math.isfinite(float(estimate([2, -1], pred=pred).value))
    assert math.isfinite(float(estimate([2, 0], (1.0, 0.0), pred=pred).value))
    assert math.isnan(float(estimate([2, 0], pred=pred).value))


def test_any_positive_mask_counts_once() -> None:
    assert float(estimate([2, 0], (0.5, 3.0)).value) == float(estimate([2, 0]).value)


def test_length_of_the_embedding_does_not_matter() -> None:
    assert float(estimate([2, 0], pred=PRED * 1e-3).value) == pytest.approx(float(estimate([2, 0]).value), rel=1e-13)


def test_an_embedding_of_length_0_leaves_the_bias() -> None:
    expected = math.log(sum(math.exp(x) for x in BIAS)) - BIAS[1]
    assert float(estimate([1, -1], pred=np.zeros_like(PRED)).value) == pytest.approx(expected, rel=1e-14)


def test_an_identity_that_never_occurs_still_repels() -> None:
    closer = WEIGHT.copy()
    closer[1] = WEIGHT[1] * 3
    more = identity(PRED, np.ones((1, 2)), IND, np.array([[2, -1]]), closer, BIAS)
    assert float(more.value) > float(estimate([2, -1]).value)


def test_scale_grows_with_products_that_cancel() -> None:
    rng = np.random.default_rng(0)
    pred, weight = rng.normal(0, 1, (1, 64, 1, 2)), rng.normal(0, 1, (5, 64))
    plain = identity(pred, np.ones((1, 2)), IND, np.array([[0, 1]]), weight, np.zeros(5))
    doubled = np.concatenate([pred, np.ones_like(pred)], axis=1) / 1.0
    # The further channels add and take away the same from every logit.
    signs = np.tile([1000.0, -1000.0], 32)[None].repeat(5, axis=0)
    more = identity(
        doubled, np.ones((1, 2)), IND, np.array([[0, 1]]), np.concatenate([weight, signs], axis=1), np.zeros(5)
    )
    assert float(more.scale) > 100 * float(plain.scale)
