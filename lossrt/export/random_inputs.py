"""Golden cases for a graph of which only the signature is known: arrays out of its own value ranges."""

__all__ = ["RANDOM_CASES", "random_case"]

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.spec import GraphSpec, TensorSpec, resolve, resolved_shape

Sizes = Mapping[str, int]
Fill = Callable[[TensorSpec, tuple[int, ...], Sizes, np.random.Generator], NDArray[Any]]
UNBOUNDED = 4.0  # standard deviation of what has no bounds; a bound that is missing lies this far from the other


def random_case(name: str, spec: GraphSpec, *, batch: int, seed: int) -> dict[str, NDArray[Any]]:
    """Make the arrays of one case.

    Args:
        name: A name from `RANDOM_CASES`.
        spec: The signature; every value lies in its tensor's range.
        batch: Size of dimension B, where there is one.
        seed: Seed of everything random.
    """
    sizes = spec.sizes | ({"B": batch} if "B" in spec.sizes else {})
    rng = np.random.default_rng([seed, list(RANDOM_CASES).index(name)])
    fill = RANDOM_CASES[name]
    return {t.name: fill(t, resolved_shape(t.dims, sizes), sizes, rng).astype(t.dtype) for t in spec.inputs}


def _bounds(tensor: TensorSpec, sizes: Sizes) -> tuple[float, float]:
    """Return the smallest and the largest legal value, made up where there is no bound."""
    if tensor.dtype == "bool":
        return 0, 1
    whole = tensor.dtype.startswith(("int", "uint"))
    low = None if tensor.low is None else resolve(tensor.low, sizes)
    high = None if tensor.high is None else resolve(tensor.high, sizes) - (1 if whole else 0)
    if low is None:
        low = -UNBOUNDED if high is None else high - 2 * UNBOUNDED
    return low, low + 2 * UNBOUNDED if high is None else high


def _uniform(tensor: TensorSpec, shape: tuple[int, ...], sizes: Sizes, rng: np.random.Generator) -> NDArray[Any]:
    low, high = _bounds(tensor, sizes)
    if not tensor.dtype.startswith("float"):
        return rng.integers(int(low), int(high) + 1, shape)
    if tensor.low is None and tensor.high is None:
        return rng.normal(0, UNBOUNDED, shape)
    return rng.uniform(low, high, shape)


def _lowest(tensor: TensorSpec, shape: tuple[int, ...], sizes: Sizes, rng: np.random.Generator) -> NDArray[Any]:
    del rng
    return np.full(shape, _bounds(tensor, sizes)[0])


def _highest(tensor: TensorSpec, shape: tuple[int, ...], sizes: Sizes, rng: np.random.Generator) -> NDArray[Any]:
    del rng
    return np.full(shape, _bounds(tensor, sizes)[1])


def _ends(tensor: TensorSpec, shape: tuple[int, ...], sizes: Sizes, rng: np.random.Generator) -> NDArray[Any]:
    """Each element at one end of its range or the other."""
    return rng.choice(np.array(_bounds(tensor, sizes)), shape)


def _off(tensor: TensorSpec, shape: tuple[int, ...], sizes: Sizes, rng: np.random.Generator) -> NDArray[Any]:
    """Targets of 0 where that is legal, predictions at random: nothing is annotated."""
    low, high = _bounds(tensor, sizes)
    if tensor.role == "target" and low <= 0 <= high:
        return np.zeros(shape)
    return _uniform(tensor, shape, sizes, rng)


RANDOM_CASES: dict[str, Fill] = {
    "nominal": _uniform,
    "empty": _off,
    "lowest": _lowest,
    "highest": _highest,
    "ends": _ends,
    "single": _uniform,
}
