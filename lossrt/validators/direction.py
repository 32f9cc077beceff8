"""A gradient as a whole: where it points, how long it is, and which of its elements are 0.

Element by element a gradient may be off by a little everywhere, always to the same side. As a vector it then has another
length or another direction, and that shows far below the tolerance of an element.
"""

__all__ = ["Direction", "direction_of"]

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from lossrt.spec import Estimate
from lossrt.validators.allowance import Allowance
from lossrt.validators.number import Number

_CERTAIN = 2.0**-10
"""An element above this share of its scale is not 0 by cancellation."""
_TINY = 2.0**-100
"""Below this size factors of an element may have been flushed to 0."""


@dataclass(frozen=True, slots=True)
class Direction:
    """What the vector of all elements shows.

    Attributes:
        cosine: Cosine of the angle to the oracle's gradient; None where that one is 0, or where there is no result.
        norm_ratio: Length over that of the oracle's; None likewise.
        wrong_zeros: Elements that are 0 although the oracle's are not, or the other way round: no tolerance covers them.
        error: How much too long or too short it is, or how far it leads aside, whichever is more; in the output's unit.
        allowed: The allowed error.
        allowance: What the allowed error is made of: lengths of the vectors of the elements' own.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    cosine: Number | None
    norm_ratio: Number | None
    wrong_zeros: Annotated[int, Field(ge=0)]
    error: Annotated[Number, Field(ge=0)]
    allowed: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    allowance: Allowance

    @property
    def excess(self) -> float:
        """The error in units of the allowed one; inf with a wrong zero."""
        if self.wrong_zeros or (self.error and not self.allowed):
            return math.inf
        return self.error / self.allowed if self.allowed else 0.0

    def __str__(self) -> str:
        parts = [f"cosine {self.cosine:.9g}"] if self.cosine is not None else []
        parts += [f"norm ratio {self.norm_ratio:.9g}"] if self.norm_ratio is not None else []
        parts += [f"{self.wrong_zeros} elements 0 in one and not in the other"] if self.wrong_zeros else []
        return ", ".join(parts) or "no direction"


def direction_of(
    actual: NDArray[Any] | None,
    expected: Estimate,
    *,
    own_length: float,
    growth: float,
    place: NDArray[np.float64],
    floor: float,
    constants: tuple[float, float],
) -> Direction:
    """Compare a gradient with the oracle's as vectors; elements that are not finite, or on a kink, are left out.

    Args:
        actual: The candidate's gradient; None where it gave none.
        expected: The oracle's, same shape.
        own_length: Length of PyTorch's own error.
        growth: √n·u, which the scale grows by.
        place: One unit in the last place of each element, same shape.
        floor: What flushing subnormal terms to zero may cost an element.
        constants: κ and λ.
    """
    kept = np.isfinite(expected.value) & ~expected.undecided
    allowance = Allowance(
        baseline=own_length,
        growth=growth * _length(expected.scale[kept]),
        place=max(_length(place[kept]), float(np.finfo(np.float32).tiny)),
        floor=floor * math.sqrt(int(kept.sum())),
    )
    allowed = allowance.allowed(*constants)
    if actual is None:
        return Direction(None, None, 0, math.inf, allowed, allowance)
    wanted, given = expected.value[kept], actual.astype(np.float64)[kept]
    if not np.isfinite(given).all():
        return Direction(None, None, _wrong_zeros(given, wanted, expected.scale[kept]), math.inf, allowed, allowance)
    length, right = _length(given), _length(wanted)
    along = float(given @ wanted) / right if right else 0.0
    aside = _length(given - wanted * (along / right)) if right else length
    return Direction(
        cosine=along / length if length and right else None,
        norm_ratio=length / right if right else None,
        wrong_zeros=_wrong_zeros(given, wanted, expected.scale[kept]),
        error=max(abs(length - right), aside),
        allowed=allowed,
        allowance=allowance,
    )


def _length(values: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(values))


def _wrong_zeros(given: NDArray[np.float64], wanted: NDArray[np.float64], scale: NDArray[np.float64]) -> int:
    """Count elements that nothing is summed into and that are not 0, and those that are 0 and cannot be."""
    certain = np.abs(wanted) > np.maximum(_CERTAIN * scale, _TINY)
    return int(np.count_nonzero(((scale == 0) & (given != 0)) | (certain & (given == 0))))
