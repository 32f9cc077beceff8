import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.validators.oracle.cross_entropy import cross_entropy


def test_by_hand() -> None:
    logits = np.log(np.array([[1.0, 3.0], [0.25, 0.25]]))
    values, parts = cross_entropy(logits, np.zeros_like(logits), np.array([0, 1]))
    np.testing.assert_allclose(values, [math.log(4), math.log(2)], rtol=1e-15)
    # The logit, the largest and the logarithm of the sum: 0 + ln 3 + ln 4/3, and ln 4 + ln 4 + ln 2.
    np.testing.assert_allclose(parts, [math.log(4), 5 * math.log(2)], rtol=1e-15)


def test_the_logits_own_rounding_counts_for_the_target_and_by_the_softmax_for_all() -> None:
    logits, own = np.log(np.array([[1.0, 3.0]])), np.array([[8.0, 4.0]])
    plain, more = (cross_entropy(logits, sizes, np.array([0]))[1] for sizes in (np.zeros_like(own), own))
    assert float(more[0] - plain[0]) == pytest.approx(8 + (8 / 4 + 4 * 3 / 4), rel=1e-14)


def test_far_logits_neither_overflow_nor_vanish() -> None:
    values, _ = cross_entropy(np.array([[1e4, 0.0], [1e4, 0.0]]), np.zeros((2, 2)), np.array([0, 1]))
    assert values.tolist() == [0, 1e4]


@given(seed=st.integers(0, 2**32 - 1), shift=st.sampled_from([-100.0, 0.5, 1000.0]))
def test_a_shift_of_all_logits_changes_nothing(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(0, 3, (4, 5)), rng.integers(0, 5, 4)
    once, moved = (cross_entropy(x, np.zeros_like(x), target)[0] for x in (logits, logits + shift))
    np.testing.assert_allclose(moved, once, rtol=1e-9)
    np.testing.assert_allclose(
        once, -np.log(np.exp(logits)[np.arange(4), target] / np.exp(logits).sum(axis=1)), rtol=1e-9
    )
