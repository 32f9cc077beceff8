"""Numbers in float64 with what computing them in float32 may cost, carried from operation to operation.

A step's results come out of a chain of sums; each sum adds its own probabilistic growth √n·u·Σ|terms| (Higham & Mary
2019) to what its terms brought along.
"""

__all__ = ["UNIT", "Floats", "Rounded", "added", "contracted", "estimate", "exact"]

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import Estimate

Floats = NDArray[np.float64]
UNIT = 2.0**-24
"""Unit roundoff of float32."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """A result.

    Attributes:
        value: The result, float64.
        error: Size of its rounding error in float32, same shape and unit.
    """

    value: Floats
    error: Floats

    def __getitem__(self, key: Any) -> "Rounded":
        return Rounded(self.value[key], self.error[key])

    def reshape(self, *shape: int) -> "Rounded":
        """Return it in another shape."""
        return Rounded(self.value.reshape(shape), self.error.reshape(shape))

    def scaled(self, factor: float, *, error: float = 0.0) -> "Rounded":
        """Return it times a constant, which is rounded as well; a further relative error of it may be given."""
        value = self.value * factor
        return Rounded(value, self.error * abs(factor) + np.abs(value) * (2 * UNIT + error))

    def summed(self, axis: int, *, terms: int) -> "Rounded":
        """Return its sum along an axis, of which `terms` are not 0."""
        growth = UNIT * math.sqrt(terms) * np.abs(self.value).sum(axis)
        return Rounded(self.value.sum(axis), growth + self.error.sum(axis))


def exact(array: NDArray[Any]) -> Rounded:
    """Return an input, which is what it is."""
    value = array.astype(np.float64)
    return Rounded(value, np.zeros_like(value))


def added(*parts: Rounded) -> Rounded:
    """Return a sum of a few parts, shapes broadcast."""
    value = np.asarray(sum(part.value for part in parts))
    size = sum(np.abs(part.value) for part in parts)
    return Rounded(value, np.asarray(sum(part.error for part in parts) + UNIT * (len(parts) - 1) * size))


def contracted(formula: str, left: Rounded, right: Rounded, *, terms: int) -> Rounded:
    """Return a sum of products.

    Args:
        formula: As for `numpy.einsum`.
        left: One factor.
        right: The other.
        terms: Number of terms that are not 0.
    """

    def product(one: Floats, other: Floats) -> Floats:
        return np.asarray(np.einsum(formula, one, other, optimize=True))

    sizes = np.abs(left.value), np.abs(right.value)
    # Each product is rounded once before any is added.
    error = UNIT * (1 + math.sqrt(terms)) * product(*sizes)
    if left.error.any():
        error = error + product(left.error, sizes[1])
    if right.error.any():
        error = error + product(sizes[0], right.error)
    return Rounded(product(left.value, right.value), error)


def estimate(result: Rounded, *, terms: int) -> Estimate:
    """Return it as an estimate whose growth √terms·u·scale is its error."""
    return Estimate(value=result.value, scale=result.error / (UNIT * math.sqrt(terms)), terms=terms)
