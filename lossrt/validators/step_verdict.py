"""The verdict on what a training step leaves behind: element by element, and its change as a vector.

A weight hides its step: next to a weight of 1, a step that is twice too long is a relative error of a thousandth. Of the
change itself the verdict tells the cosine and the ratio of the lengths, and holds both to what rounding explains.
"""

__all__ = ["judge_change", "old_name"]

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate
from lossrt.validators.direction import direction_of
from lossrt.validators.tolerances import (
    DEFAULT_POLICY,
    Policy,
    Verdict,
    floor_of,
    growth_of,
    judge,
    ulp_at,
    whole_grade,
)


def old_name(output: str) -> str:
    """Return the input that an output of a step takes the place of, such as `param_hm_2_bias` of `new_param_hm_2_bias`."""
    return output.removeprefix("new_")


def judge_change(
    name: str,
    actual: NDArray[Any] | None,
    expected: Estimate,
    *,
    old: NDArray[Any],
    reference: NDArray[Any] | None = None,
    policy: Policy = DEFAULT_POLICY,
) -> Verdict:
    """Compare what a step made of a tensor with the oracle's.

    Args:
        name: Output name, for messages.
        actual: The candidate's result; None where it could not be computed, which fails.
        expected: The oracle's estimate, same shape.
        old: The tensor before the step.
        reference: PyTorch's result.
        policy: The constants.

    Returns:
        The verdict at the worst element, with the direction of the change; the worse of both counts.

    Raises:
        InputError: Nothing to compare, or shapes differ.
    """
    found = judge(name, actual, expected, reference=reference, policy=policy)
    before = old.astype(np.float64)
    change = replace(expected, value=(expected.value - before).ravel(), scale=expected.scale.ravel())
    with np.errstate(all="ignore"):
        own = np.zeros(1) if reference is None else reference.astype(np.float64) - expected.value
        direction = direction_of(
            None if actual is None else (actual.astype(np.float64) - before).ravel(),
            change,
            own_length=math.sqrt(float(np.sum(own[np.isfinite(own)] ** 2))),
            growth=growth_of(expected.terms, policy.accumulate),
            place=ulp_at(expected.value, np.float32).ravel(),
            floor=floor_of(expected.terms),
            constants=(policy.kappa, policy.lam),
        )
    # A change smaller than its weight's last place is 0 in one and not in the other, and rightly so.
    direction = replace(direction, wrong_zeros=0)
    return replace(found, verdict=whole_grade(found.error, found.allowed, direction), direction=direction)
