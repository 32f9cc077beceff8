"""Ways to change one input of a graph within its legal values, for a search."""

__all__ = ["LARGEST", "Move", "moves_for"]

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lossrt.spec import TensorSpec, resolve

LARGEST = 1e4
"""Where a value has no bound of its own; beyond it fp16 maps overflow, and sums of fp32 squares are not far from it."""

Move = Callable[[Generator, NDArray[Any]], NDArray[Any]]
_Change = Callable[[Generator, NDArray[Any], float, float], NDArray[Any]]


def moves_for(tensor: TensorSpec, array: NDArray[Any], sizes: Mapping[str, int]) -> dict[str, Move]:
    """Return the moves for one input by name; each returns an array of the same shape and type, all values legal.

    A mask stays 0 and 1: what it multiplies is exact then, and no training has other masks.

    Args:
        tensor: The input's spec, whose bounds hold.
        array: The input's present values, which tell a mask from another bounded input.
        sizes: Size of every named dimension.
    """
    low = -LARGEST if tensor.low is None else float(resolve(tensor.low, sizes))
    high = LARGEST if tensor.high is None else float(resolve(tensor.high, sizes))
    if array.dtype.kind in "iu":
        low, high = (0, 2) if tensor.low is None or tensor.high is None else (low, high)
        return {name: _integral(change, low, high) for name, change in _INTEGERS.items()}
    values = array.astype(np.float64)
    if tensor.name.endswith("mask") and bool(np.isin(values, (0, 1)).all()):
        return {name: _bounded(change, 0, 1) for name, change in _MASKS.items()}
    return {name: _bounded(change, low, high) for name, change in _FLOATS.items()}


def _bounded(change: _Change, low: float, high: float) -> Move:
    def move(rng: Generator, array: NDArray[Any]) -> NDArray[Any]:
        changed = np.clip(change(rng, array.astype(np.float64), low, high), low, high).astype(array.dtype)
        # A bound that the type cannot hold may be passed by the rounding; such values stay as they were.
        inside = (changed.astype(np.float64) >= low) & (changed.astype(np.float64) <= high)
        return np.where(inside, changed, array)

    return move


def _integral(change: _Change, low: float, high: float) -> Move:
    return lambda rng, array: change(rng, array, low, high).astype(array.dtype)


def _magnitude(rng: Generator, low: float, high: float) -> float:
    """Draw a legal value whose size is as likely tiny as huge."""
    value = float(np.exp2(rng.uniform(-20, math.log2(max(abs(low), abs(high), 2.0**-19)))))
    return min(max(value if rng.random() < 0.5 else -value, low), high)


def _constant(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    return np.full(array.shape, _magnitude(rng, low, high))


def _redrawn(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    reach = abs(_magnitude(rng, low, high))
    return rng.uniform(max(low, -reach), min(high, reach), array.shape)


def _scaled(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    del low, high
    return array * float(np.exp2(rng.uniform(-8, 8)))


def _shifted(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    return array + _magnitude(rng, low, high)


def _wobbled(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    del low, high
    wobbled: NDArray[Any] = array * (1 + np.exp2(rng.uniform(-24, -2)) * rng.standard_normal(array.shape))
    return wobbled


def _patched(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Set a share of the elements, anywhere, to one value."""
    struck = rng.random(array.shape) < np.exp2(rng.uniform(-12, 0))
    patched: NDArray[Any] = np.where(struck, _magnitude(rng, low, high), array)
    return patched


def _to_bounds(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    struck = rng.random(array.shape) < np.exp2(rng.uniform(-12, 0))
    ends = np.where(rng.random(array.shape) < rng.random(), low, high)
    pushed: NDArray[Any] = np.where(struck, ends, array)
    return pushed


def _shuffled(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    del low, high
    return rng.permutation(array.ravel()).reshape(array.shape)


def _coins(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    del low, high
    return (rng.random(array.shape) < rng.random()).astype(np.float64)


def _all_or_none(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    del low, high
    return np.full(array.shape, float(rng.random() < 0.8))


def _one(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    del low, high
    only = np.zeros(array.size)
    only[rng.integers(0, array.size)] = 1
    return only.reshape(array.shape)


def _drawn(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    return rng.integers(int(low), int(high), array.shape)


def _same(rng: Generator, array: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    return np.full(array.shape, rng.integers(int(low), int(high)))


_FLOATS: dict[str, _Change] = {
    "made constant": _constant,
    "redrawn": _redrawn,
    "scaled": _scaled,
    "shifted": _shifted,
    "wobbled": _wobbled,
    "patched": _patched,
    "pushed to the bounds": _to_bounds,
    "shuffled": _shuffled,
}
_MASKS: dict[str, _Change] = {
    "redrawn": _coins,
    "set all or none": _all_or_none,
    "left with one": _one,
    "shuffled": _shuffled,
}
_INTEGERS: dict[str, _Change] = {"redrawn": _drawn, "made constant": _same, "shuffled": _shuffled}
