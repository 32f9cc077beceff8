"""What an allowed error is made of, kept with every verdict, so that other constants can judge it again.

allowed = max(κ·baseline, λ·growth, place, floor), the parts of `lossrt.validators.tolerances`. Baseline and floor are
the same for a whole output; growth and place belong to an element. The excess of an element is then
min(error / max(κ·baseline, floor), error / (λ·growth), error / place), which rises with each of the error,
error / growth and error / place. An element that another one equals or beats in all three is therefore never the only
worst one, whatever κ and λ are; those that none beats, the rivals, suffice to find the worst element again, exactly.
A scalar has one element and so no rival; rounding errors of 10^5 elements leave some tens.
"""

__all__ = ["MOST_RIVALS", "Allowance", "Rival", "rival_places"]

import sys
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from lossrt.validators.number import Number

MOST_RIVALS = 128
"""Rivals that a verdict keeps; an output that has more of them cannot be judged again from its report."""

_CELLS = 64
_FILE = ConfigDict(extra="forbid", strict=True)
_Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Place = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Rival:
    """An element that could be the worst one for other constants.

    Attributes:
        index: Where it is.
        actual: The candidate's value there, in the output's unit.
        reference: PyTorch's value there; None where there is no PyTorch result.
        oracle: The float64 value there.
        error: As in `lossrt.validators.tolerances.Verdict`.
        growth: As in `Allowance`.
        place: As in `Allowance`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FILE

    index: tuple[int, ...]
    actual: Number
    reference: Number | None
    oracle: Number
    error: Number
    growth: _Size
    place: _Place


@dataclass(frozen=True, slots=True)
class Allowance:
    """The parts of an allowed error, all in the output's unit.

    Attributes:
        baseline: rms of PyTorch's own error, which κ multiplies.
        growth: √n·u·A at the worst element, which λ multiplies.
        place: One unit in the last place at the worst element.
        floor: What flushing subnormal terms to zero may cost.
        rivals: The elements that could be the worst one for other constants.
        complete: False where there were more than `MOST_RIVALS` of them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FILE

    baseline: _Size
    growth: _Size
    place: _Place
    floor: _Size
    rivals: tuple[Rival, ...] = ()
    complete: bool = True

    def allowed(self, kappa: float, lam: float, *, at: Rival | None = None) -> float:
        """Return the allowed error that κ and λ make at the worst element, or at a rival of it; always finite."""
        where = at or self
        wanted = max(kappa * self.baseline, lam * where.growth, where.place, self.floor)
        return min(wanted, sys.float_info.max)


def rival_places(
    errors: NDArray[np.float64], growth: NDArray[np.float64], place: NDArray[np.float64], *, worst: int
) -> tuple[list[int], bool]:
    """Find the elements that no other element equals or beats in error, error / growth and error / place.

    Args:
        errors: Errors of all elements, flat; not negative, possibly inf.
        growth: Their growth, same shape; 0 where nothing was summed.
        place: Their unit in the last place, same shape, positive.
        worst: The element that the verdict names; it and those that it beats are left out.

    Returns:
        Flat indices, at most `MOST_RIVALS`, and whether these are all of them.
    """
    live = np.append(np.flatnonzero(errors > 0), worst)
    with np.errstate(all="ignore"):
        ratios = np.stack([errors[live], errors[live] / growth[live], errors[live] / place[live]])
        if live.size > _CELLS**3 // 64:
            near = _near_the_front(ratios)
            near[-1] = True
            live, ratios = live[near], ratios[:, near]
        height = np.log(np.minimum(ratios, np.finfo(np.float64).max)).sum(axis=0)
    found: list[int] = []
    top = live.size - 1
    while len(found) <= MOST_RIVALS:
        left = (ratios[0] > ratios[0, top]) | (ratios[1] > ratios[1, top]) | (ratios[2] > ratios[2, top])
        live, ratios, height = live[left], ratios[:, left], height[left]
        if not live.size:
            return found, True
        # Nothing beats the element whose three ratios have the largest product.
        top = int(np.argmax(height))
        found.append(int(live[top]))
    return found[:-1], False


def _near_the_front(ratios: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the elements that no other one beats by a cell of the grid in all three: of a large output, a few hundredths.

    Args:
        ratios: [3, N]; the grid has 64 cells along each, of a quarter of an octave, the last one at the largest value.
    """
    steps = np.floor(4 * np.log2(np.clip(ratios, np.finfo(np.float64).tiny, np.finfo(np.float64).max)))
    cells = np.maximum(steps - steps.max(axis=1, keepdims=True) + _CELLS - 1, 0).astype(np.intp)
    taken = np.zeros((_CELLS, _CELLS, _CELLS), dtype=np.bool_)
    taken[tuple(cells)] = True
    # beaten[a, b, c]: some element lies in a cell above (a, b, c) along every axis.
    for axis in range(3):
        taken = np.flip(np.logical_or.accumulate(np.flip(taken, axis), axis=axis), axis)
    beaten = np.zeros_like(taken)
    beaten[:-1, :-1, :-1] = taken[1:, 1:, 1:]
    return np.asarray(~beaten[tuple(cells)])
