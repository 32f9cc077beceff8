"""The verdict on a gradient: element by element, and as a whole.

A gradient is as large as a map and all but a few of its elements are 0. What is 0 on both sides agrees, whatever the
tolerance, and is left out before anything is computed.
"""

__all__ = ["judge_gradient"]

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.direction import Direction, direction_of
from lossrt.validators.tolerances import (
    DEFAULT_POLICY,
    Policy,
    Verdict,
    check_shapes,
    floor_of,
    growth_of,
    judge,
    ulp_at,
    whole_grade,
)


def judge_gradient(
    name: str,
    actual: NDArray[Any] | None,
    expected: Estimate,
    *,
    own_error: float = 0.0,
    policy: Policy = DEFAULT_POLICY,
) -> Verdict:
    """Compare a gradient with the oracle's.

    Args:
        name: Output name, for messages.
        actual: The candidate's gradient, float32; None where it could not be computed, which fails.
        expected: The oracle's estimate, same shape.
        own_error: rms of PyTorch's own error over all elements.
        policy: The constants.

    Returns:
        The verdict at the worst element, with the direction; the worse of both counts.

    Raises:
        InputError: Nothing to compare, or shapes differ.
    """
    check_shapes(name, actual, expected)
    shape, size = expected.value.shape, expected.value.size
    live = _live(actual, expected)
    part = Estimate(expected.value.ravel()[live], expected.scale.ravel()[live], expected.terms)
    given = None if actual is None else actual.ravel()[live]
    found = judge(name, given, part, own_error=own_error, policy=policy)
    direction = _direction(given, part, own_length=own_error * math.sqrt(size), policy=policy)

    def place(index: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unravel_index(live[index[0]], shape))

    rivals = tuple(replace(rival, index=place(rival.index)) for rival in found.allowance.rivals)
    return replace(
        found,
        verdict=whole_grade(found.error, found.allowed, direction),
        index=place(found.index),
        allowance=replace(found.allowance, rivals=rivals),
        direction=direction,
    )


def _live(actual: NDArray[Any] | None, expected: Estimate) -> NDArray[np.intp]:
    """Return the flat indices of what is not 0 on both sides, one at least."""
    mattering = (expected.scale != 0) | (expected.value != 0)
    if actual is not None:
        mattering |= actual != 0
    found = np.flatnonzero(mattering)
    return found if found.size else np.zeros(1, dtype=np.intp)


def _direction(given: NDArray[Any] | None, part: Estimate, *, own_length: float, policy: Policy) -> Direction:
    with np.errstate(all="ignore"):
        return direction_of(
            given,
            part,
            own_length=own_length,
            growth=growth_of(part.terms, policy.accumulate),
            place=ulp_at(part.value, np.float32),
            floor=floor_of(part.terms),
            constants=(policy.kappa, policy.lam),
        )
