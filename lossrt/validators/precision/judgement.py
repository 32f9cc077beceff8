"""Compare one tensor of a half-width run with the wide run: which elements are faulty, how, and whether the fault arose here.

What counts, for an element that is v in the wide run and n in the half-width one:

- `nan`: n is NaN, v is not.
- `overflow`: n is infinite; v is finite, also in float32.
- `changed`: an integer or boolean differs: an index, a count or a decision went another way.
- `constant`: a lone constant that is not ±1 has become ±1, so that 1 − x and log x lose what they live on.
- `digits`: |n − v| > √u·max(|v|, s), u the unit roundoff of the type: more than half of its digits are wrong; a healthy
  operator leaves some u. The floor s is 0 where each element's own digits matter to what reads it (`sensitivity`) and the
  tensor's root mean square elsewhere.
- `underflow`: the operator's exact result on the operands at hand was not 0, and rounding made it 0 or subnormal, inexactly
  (underflow of IEEE 754, 7.5).

What float32 cannot hold either is not blamed on the half-width type: v counts as float32 has it.
"""

__all__ = [
    "KINDS",
    "LEVELS",
    "ORIGINS",
    "Fault",
    "Kind",
    "Levels",
    "Origin",
    "Tensor",
    "judge_constant",
    "judge_tensor",
    "round_to",
]

import math
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from lossrt.validators.precision.conversion import is_float

Kind = Literal["nan", "overflow", "changed", "constant", "digits", "underflow"]
Origin = Literal["here", "worsened", "inherited"]
Levels = NDArray[np.uint8]

KINDS: tuple[Kind, ...] = ("nan", "overflow", "changed", "constant", "digits", "underflow")
"""Worst first."""

ORIGINS: tuple[Origin, ...] = ("here", "worsened", "inherited")
"""What is to be mended first."""

LEVELS: dict[Kind, int] = {"nan": 4, "overflow": 3, "changed": 2, "constant": 2, "digits": 2, "underflow": 2}
"""How bad a fault is for what reads it; 0 is no fault, 1 a quarter of the error of `digits`, which two operators more may
turn into one without being to blame."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor in both runs.

    Attributes:
        wide: Its value in the wide run; floats as float64.
        narrow: Its value in the half-width run, in the type it has there.
        levels: How bad each element of `narrow` is (`LEVELS`).
    """

    wide: NDArray[Any]
    narrow: NDArray[Any]
    levels: Levels


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault in one tensor.

    Attributes:
        kind: What happened.
        origin: `here` where no operand was faulty, or the operator's own rounding did it; `worsened` where the operands were
            off by less or in a lesser way; `inherited` where they were as bad already. The first that holds for any element.
        elements: Faulty elements.
        index: The worst one.
        wide: Its value in the wide run; where the two runs' shapes differ, the number of its elements.
        narrow: The same in the half-width run.
        error: |narrow − wide| / max(|wide|, s) there; inf where narrow is not finite.
    """

    kind: Kind
    origin: Origin
    elements: int
    index: tuple[int, ...]
    wide: float
    narrow: float
    error: float


def round_to(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round float64 values to a float type, to infinity beyond its range."""
    with np.errstate(all="ignore"):
        return array.astype(dtype)


def judge_tensor(
    wide: NDArray[Any],
    exact: NDArray[Any],
    narrow: NDArray[Any],
    carried: Levels,
    *,
    roundoff: float,
    sensitive: bool = True,
) -> tuple[Levels, tuple[Fault, ...]]:
    """Find the faults of an operator's output.

    Args:
        wide: Output in the wide run.
        exact: The operator's unrounded output on the operands of the half-width run, same shape as `narrow`.
        narrow: The same, rounded to the type it has.
        carried: The worst level among the operand elements behind each element of `narrow`.
        roundoff: u of the half-width type.
        sensitive: True where each element's own digits matter.

    Returns:
        The level of every element, and one fault for each kind found.
    """
    if wide.shape != narrow.shape:
        return _other_shape(wide, narrow, carried)
    if not is_float(narrow.dtype) and narrow.dtype.kind not in "biu":
        return np.zeros(narrow.shape, np.uint8), ()
    floor = 0.0 if sensitive else _root_mean_square(wide)
    drift = _drift(wide, narrow, floor)
    masks = _masks(wide, exact, narrow, drift > math.sqrt(roundoff))
    levels = np.zeros(narrow.shape, np.uint8)
    levels[(drift if sensitive else _drift(wide, narrow, 0.0)) > math.sqrt(roundoff) / 4] = 1
    faults = []
    for kind, mask in masks.items():
        if mask.any():
            levels[mask] = LEVELS[kind]
            # A finite exact result that the type cannot hold is the rounding's fault, whatever the operands were.
            by_rounding = kind == "underflow" or (kind == "overflow" and np.isfinite(exact[mask]).any())
            origin: Origin = "here" if by_rounding else _origin(carried[mask], kind)
            faults.append(_fault(kind, mask, wide, narrow, origin, floor))
    return levels, tuple(faults)


def judge_constant(
    wide: NDArray[Any], narrow: NDArray[Any], *, roundoff: float, sensitive: bool = True, lone: bool
) -> tuple[Levels, tuple[Fault, ...]]:
    """Find what rounding does to an input or a constant.

    Args:
        wide: Its value as given.
        narrow: The same, rounded.
        roundoff: u of the half-width type.
        sensitive: True where each element's own digits matter.
        lone: True for a constant of one element.
    """
    fine = np.zeros(narrow.shape, np.uint8)
    levels, faults = judge_tensor(wide, wide, narrow, fine, roundoff=roundoff, sensitive=sensitive)
    if lone and abs(wide.item()) != 1 == abs(narrow.item()):
        levels = np.full(narrow.shape, LEVELS["constant"], np.uint8)
        faults = (*faults, _fault("constant", levels > 0, wide, narrow, "here", 0.0))
    return levels, faults


def _other_shape(wide: NDArray[Any], narrow: NDArray[Any], carried: Levels) -> tuple[Levels, tuple[Fault, ...]]:
    index = (0,) * narrow.ndim
    fault = Fault("changed", _origin(carried, "changed"), narrow.size, index, wide.size, narrow.size, math.inf)
    return np.full(narrow.shape, LEVELS["changed"], np.uint8), (fault,)


def _as_float32(values: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        return values.astype(np.float32).astype(np.float64)


def _root_mean_square(wide: NDArray[Any]) -> float:
    finite = wide[np.isfinite(_as_float32(wide))].astype(np.float64)
    return float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0


def _drift(wide: NDArray[Any], narrow: NDArray[Any], floor: float) -> NDArray[np.float64]:
    """Return |narrow − wide| / max(|wide|, floor): inf where that is 0 and narrow is not, 0 where NaN takes part."""
    value, expected = narrow.astype(np.float64), _as_float32(wide)
    with np.errstate(all="ignore"):
        drift = np.abs(value - expected) / np.maximum(np.abs(expected), floor)
    return np.where(value == expected, 0.0, np.nan_to_num(drift, nan=0.0, posinf=math.inf))


def _masks(
    wide: NDArray[Any], exact: NDArray[Any], narrow: NDArray[Any], off: NDArray[np.bool_]
) -> dict[Kind, NDArray[np.bool_]]:
    if not is_float(narrow.dtype):
        return {"changed": narrow != wide}
    value = narrow.astype(np.float64)
    finite = np.isfinite(_as_float32(wide))
    underflow = np.zeros(value.shape, np.bool_)
    if narrow.dtype.itemsize == 2:
        tiny = float(ml_dtypes.finfo(narrow.dtype).smallest_normal)
        underflow = (np.abs(value) < tiny) & (value != _as_float32(exact))
    return {
        "nan": np.isnan(value) & ~np.isnan(wide),
        "overflow": np.isinf(value) & finite,
        "digits": off & finite & np.isfinite(value) & ~underflow,
        "underflow": underflow,
    }


def _origin(carried: Levels, kind: Kind) -> Origin:
    best = int(carried.min(initial=LEVELS["nan"]))
    if best == 0:
        return "here"
    return "worsened" if best < LEVELS[kind] else "inherited"


def _fault(
    kind: Kind, mask: NDArray[np.bool_], wide: NDArray[Any], narrow: NDArray[Any], origin: Origin, floor: float
) -> Fault:
    flat = np.flatnonzero(mask)
    expected = wide.reshape(-1)[flat].astype(np.float64)
    got = narrow.reshape(-1)[flat].astype(np.float64)
    error = np.where(np.isfinite(got), _drift(expected, got, floor), math.inf)
    # Of the elements that are equally wrong, the one that matters most.
    worst = np.lexsort((np.nan_to_num(np.abs(expected)), error))[-1]
    index = tuple(int(i) for i in np.unravel_index(int(flat[worst]), mask.shape))
    return Fault(kind, origin, flat.size, index, float(expected[worst]), float(got[worst]), float(error[worst]))
