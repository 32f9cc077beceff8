"""When a result agrees: a tolerance derived from the oracle, the sums' scale and PyTorch's own error.

allowed = max(κ·rms(e_b), λ·√n·u·A, one output ulp, the subnormal floor), where e_b is PyTorch's error against the
oracle, A the scale and n the number of terms of `lossrt.spec.Estimate`, u the unit roundoff of the accumulation.
The growth √n is that of rounding errors with random signs (Higham & Mary, "A new approach to probabilistic rounding
error analysis", SIAM J. Sci. Comput. 41, 2019).
"""

__all__ = [
    "DEFAULT_POLICY",
    "WARN_BAND",
    "Accumulation",
    "Grade",
    "Policy",
    "Verdict",
    "check_shapes",
    "floor_of",
    "grade",
    "growth_of",
    "judge",
    "ulp_at",
    "whole_grade",
]

import math
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike, NDArray

from lossrt.errors import InputError
from lossrt.spec import Estimate
from lossrt.validators.allowance import Allowance, Rival, rival_places
from lossrt.validators.direction import Direction

Accumulation = Literal["fp32", "tf32", "fp16", "bf16"]
Grade = Literal["pass", "warn", "fail"]

WARN_BAND = 8.0
"""Errors up to this multiple of the allowed one warn; larger ones fail."""

_ROUNDOFF: dict[Accumulation, float] = {"fp32": 2.0**-24, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}
_SMALLEST_NORMAL = 2.0**-126


@dataclass(frozen=True, slots=True)
class Policy:
    """The constants of the tolerance.

    Attributes:
        kappa: κ, how many times PyTorch's own error a candidate may be off. 4: both errors are single draws from like
            distributions, and PyTorch's may happen to be small.
        lam: λ, the factor of the probabilistic growth. 1: a plain fp32 loop over 5,000 like-signed terms is off by
            0.2·√n·u·A (rms), over 65,000 by 0.6; over 326,400 its bias shows, 2.9, a warning. Sums in blocks, as
            backends form them, stay far below. Half of it would warn at correct losses of a few slots. The largest
            sum of mot17 then fails beyond 2.7e-4 of its scale, so that a mask scaled by 1.001 does.
        strict: Count a warning as a failure.
        accumulate: The type that reductions accumulate in.
    """

    kappa: float = 4.0
    lam: float = 1.0
    strict: bool = False
    accumulate: Accumulation = "fp32"

    def __post_init__(self) -> None:
        for name, value in (("kappa", self.kappa), ("lambda", self.lam)):
            if not 0 <= value < math.inf:
                raise InputError(f"{name}: expected a finite factor >= 0, got {value}")

    def accepts(self, verdict: Grade) -> bool:
        """Tell whether a comparison with this verdict lets a run succeed."""
        return verdict == "pass" or (verdict == "warn" and not self.strict)


DEFAULT_POLICY = Policy()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one comparison found, at the element with the largest error in units of the allowed one.

    A failed comparison is data, not an exception.

    Attributes:
        name: Output name.
        verdict: `pass`, `warn` or `fail`.
        index: Where the worst element is; `()` for a scalar.
        actual: The candidate's value there; NaN where it gave none.
        reference: PyTorch's value there; None where there is no PyTorch result.
        oracle: The float64 value there.
        error: |actual − oracle|; 0 where both are the same non-finite value, inf where only one is.
        allowed: The allowed error there, in the output's unit.
        ulp: The error in units of the last place of the output's type at the oracle's value.
        allowance: What the allowed error is made of, for other constants.
        direction: What a gradient shows as a whole; None for anything else.
    """

    name: str
    verdict: Grade
    index: tuple[int, ...]
    actual: float
    reference: float | None
    oracle: float
    error: float
    allowed: float
    ulp: float
    allowance: Allowance
    direction: Direction | None = None


def grade(error: float, allowed: float) -> Grade:
    """Return the verdict on one error: `pass` up to the allowed one, `warn` up to 8 times it, `fail` above."""
    if error <= allowed:
        return "pass"
    return "warn" if error <= WARN_BAND * allowed else "fail"


def whole_grade(error: float, allowed: float, direction: Direction | None) -> Grade:
    """Return the worse of the verdicts on the worst element and on the gradient as a whole; a wrong zero fails."""
    if direction is None:
        return grade(error, allowed)
    if direction.wrong_zeros:
        return "fail"
    order: tuple[Grade, ...] = ("pass", "warn", "fail")
    return max(grade(error, allowed), grade(direction.error, direction.allowed), key=order.index)


def judge(
    name: str,
    actual: NDArray[Any] | None,
    expected: Estimate,
    *,
    reference: NDArray[Any] | None = None,
    own_error: float | None = None,
    dtype: DTypeLike = np.float32,
    policy: Policy = DEFAULT_POLICY,
) -> Verdict:
    """Compare one output with what it must be.

    Non-finite values are compared with PyTorch's result, or with the oracle rounded to the output's type where there
    is none: NaN matches only NaN, an infinity only the same infinity.

    Args:
        name: Output name, for messages.
        actual: The candidate's output; None where it could not be computed, which fails.
        expected: The oracle's estimate, same shape.
        reference: PyTorch's result on the same rounded inputs, same shape.
        own_error: rms of PyTorch's own error, where its result was not kept.
        dtype: Type of the output, which decides the size of an ulp; the reference's type where there is one.
        policy: The constants.

    Returns:
        The verdict at the worst element.

    Raises:
        InputError: Nothing to compare, or shapes differ.
    """
    check_shapes(name, actual, expected, reference)
    with np.errstate(all="ignore"):
        found = _compare(actual, expected, reference, np.dtype(dtype), policy.accumulate, own_error)
        worst = found.worst(policy)
    flat = (array.ravel() for array in (found.errors, found.growth, found.place))
    places, complete = rival_places(*flat, worst=worst)
    at, *rivals = map(found.element, (worst, *places))
    allowance = Allowance(found.baseline, at.growth, at.place, found.floor, tuple(rivals), complete)
    allowed = allowance.allowed(policy.kappa, policy.lam)
    return Verdict(
        name=name,
        verdict=grade(at.error, allowed),
        index=at.index,
        actual=at.actual,
        reference=at.reference,
        oracle=at.oracle,
        error=at.error,
        allowed=allowed,
        ulp=at.error / at.place,
        allowance=allowance,
    )


def ulp_at(values: NDArray[np.float64], dtype: DTypeLike) -> NDArray[np.float64]:
    """Return the unit in the last place of `dtype` at `values`, same shape.

    Args:
        values: Where; beyond the type's range its largest number counts, and NaN counts as 0.
        dtype: A floating-point type, bfloat16 included.
    """
    info = ml_dtypes.finfo(dtype)
    # Below the normal range the spacing stays that of the smallest normal number.
    low, high = float(info.smallest_normal), float(info.max)
    magnitude = np.clip(np.nan_to_num(np.abs(values), nan=0.0, posinf=high), low, high)
    _, exponent = np.frexp(magnitude)
    return np.asarray(np.ldexp(1.0, exponent - 1 - int(info.nmant)))


def growth_of(terms: int, accumulate: Accumulation) -> float:
    """Return √n·u, what the scale of a sum of n terms is multiplied by."""
    return math.sqrt(terms) * _ROUNDOFF[accumulate]


def floor_of(terms: int) -> float:
    """Return what flushing each of n subnormal terms to zero may cost."""
    return terms * _SMALLEST_NORMAL


def _errors(given: NDArray[Any], wanted: NDArray[Any], oracle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return |given − oracle|; where `wanted` is not finite, 0 for the same value and inf for any other."""
    same = (given == wanted) | (np.isnan(given) & np.isnan(wanted))
    distance = np.nan_to_num(np.abs(given - oracle), nan=math.inf, posinf=math.inf)
    return np.where(np.isfinite(wanted), distance, np.where(same, 0.0, math.inf))


def check_shapes(
    name: str, actual: NDArray[Any] | None, expected: Estimate, reference: NDArray[Any] | None = None
) -> None:
    """Raise InputError where there is nothing to compare, or where shapes differ."""
    shape = expected.value.shape
    if expected.value.size == 0:
        raise InputError(f"output '{name}': nothing to compare, its shape is {list(shape)}; give inputs with elements")
    for what, array in (("actual", actual), ("reference", reference), ("scale", expected.scale)):
        if array is not None and array.shape != shape:
            raise InputError(
                f"output '{name}': {what}: expected the oracle's shape {list(shape)}, got {list(array.shape)}; "
                "fix the model, or export again"
            )


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One output, its errors and what the allowed ones are made of; every array has the output's shape."""

    given: NDArray[np.float64]
    reference: NDArray[np.float64] | None
    oracle: NDArray[np.float64]
    errors: NDArray[np.float64]
    growth: NDArray[np.float64]
    place: NDArray[np.float64]
    baseline: float
    floor: float

    def worst(self, policy: Policy) -> int:
        """Return the flat index of the largest excess."""
        allowed = np.maximum(policy.lam * self.growth, self.place)
        return int(np.argmax(self.errors / np.maximum(allowed, max(policy.kappa * self.baseline, self.floor))))

    def element(self, at: int) -> Rival:
        """Return everything about the element at a flat index."""
        return Rival(
            index=tuple(int(i) for i in np.unravel_index(at, self.errors.shape)),
            actual=float(self.given.flat[at]),
            reference=None if self.reference is None else float(self.reference.flat[at]),
            oracle=float(self.oracle.flat[at]),
            error=float(self.errors.flat[at]),
            growth=float(self.growth.flat[at]),
            place=float(self.place.flat[at]),
        )


def _compare(
    actual: NDArray[Any] | None,
    expected: Estimate,
    reference: NDArray[Any] | None,
    dtype: np.dtype[Any],
    accumulate: Accumulation,
    own_error: float | None,
) -> _Comparison:
    output = dtype if reference is None else reference.dtype
    wanted = (expected.value.astype(output) if reference is None else reference).astype(np.float64)
    given = np.full(wanted.shape, math.nan) if actual is None else actual.astype(np.float64)
    own = np.zeros(1) if reference is None else np.abs(wanted - expected.value)
    own = own[np.isfinite(own)]
    # A scale that is not finite belongs to a result that is not finite either, and those must match exactly.
    scale = np.nan_to_num(expected.scale, nan=0.0, posinf=0.0)
    return _Comparison(
        given=given,
        reference=None if reference is None else wanted,
        oracle=expected.value,
        errors=np.full(wanted.shape, math.inf) if actual is None else _errors(given, wanted, expected.value),
        growth=np.asarray(growth_of(expected.terms, accumulate) * scale),
        place=ulp_at(expected.value, output),
        baseline=own_error or (math.sqrt(float(np.mean(own**2))) if own.size else 0.0),
        # Devices may flush fp32 numbers below the normal range to zero, term by term; smaller types are not flushed.
        floor=floor_of(expected.terms),
    )
