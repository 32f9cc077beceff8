"""Whether a SPEC that a user wrote can be a graph's: checked before anything is traced, or written under its name."""

__all__ = ["check_constants", "check_spec"]

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from lossrt.errors import InputError, nearest
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec, resolve

DTYPES = ("float32", "int64", "int32", "bool")
ROLES = ("prediction", "target", "parameter")
GRAPH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
"""A part of file names."""
WIRE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def check_spec(place: str, spec: GraphSpec) -> None:
    """Check a SPEC.

    Args:
        place: `FILE.py:CLASS`, for messages.
        spec: The signature.

    Raises:
        InputError: A name cannot be one of a file or a tensor, or comes twice; a dimension has no size; a type or role is
            unknown; or a range is empty. The message names the entry.
    """
    if not isinstance(spec.name, str) or not GRAPH_NAME.fullmatch(spec.name):
        raise InputError(
            f"{place}: SPEC.name: expected letters, digits, _ and -, at most 40, since files are called so, got "
            f"{spec.name!r}"
        )
    if not isinstance(spec.sizes, dict):
        raise InputError(f"{place}: SPEC.sizes: expected a dict, got {type(spec.sizes).__name__}")
    for name, size in spec.sizes.items():
        if not isinstance(name, str) or not WIRE_NAME.fullmatch(name) or not _is_size(size):
            raise InputError(f"{place}: SPEC.sizes[{name!r}]: expected a name and a whole number >= 1, got {size!r}")
    for what, given, kind in (("inputs", spec.inputs, TensorSpec), ("outputs", spec.outputs, OutputSpec)):
        if not isinstance(given, tuple) or not given or not all(isinstance(one, kind) for one in given):
            got = f"{len(given)} entries" if isinstance(given, tuple) else type(given).__name__
            raise InputError(f"{place}: SPEC.{what}: expected a tuple of {kind.__name__}, at least one, got {got}")
    entries: list[TensorSpec | OutputSpec] = [*spec.inputs, *spec.outputs]
    for entry in entries:
        _check_name(place, entry.name)
        _check_dims(f"{place}: tensor '{entry.name}'", entry.dims, spec)
    twice = [name for name, count in Counter(entry.name for entry in entries).items() if count > 1]
    if twice:
        raise InputError(
            f"{place}: tensor '{twice[0]}': expected each name once among inputs and outputs, got it twice"
        )
    for tensor in spec.inputs:
        _check_values(f"{place}: tensor '{tensor.name}'", tensor, spec)


def check_constants(place: str, constants: Any) -> tuple[float, ...]:
    """Return a class's `CONSTANTS` as floats.

    Raises:
        InputError: They are not finite numbers.
    """
    given = tuple(constants) if isinstance(constants, Iterable) and not isinstance(constants, str) else (constants,)
    for value in given:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise InputError(f"{place}: CONSTANTS: expected finite numbers, got {value!r}")
    return tuple(float(value) for value in given)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_name(place: str, name: object) -> None:
    if not isinstance(name, str) or not WIRE_NAME.fullmatch(name):
        raise InputError(f"{place}: tensor {name!r}: expected a name of letters, digits and _, at most 64")


def _check_dims(title: str, dims: object, spec: GraphSpec) -> None:
    if not isinstance(dims, tuple):
        raise InputError(f"{title}: dims: expected a tuple such as ('B', 3), got {dims!r}")
    for dim in dims:
        if isinstance(dim, str):
            _resolved(title, "dims", dim, spec)
        elif not _is_size(dim):
            raise InputError(f"{title}: dims: expected sizes >= 1 and names of SPEC.sizes, got {dim!r}")


def _check_values(title: str, tensor: TensorSpec, spec: GraphSpec) -> None:
    for what, value, known in (("dtype", tensor.dtype, DTYPES), ("role", tensor.role, ROLES)):
        if value not in known:
            raise InputError(f"{title}: {what} {value!r}: unknown; {nearest(str(value), known)}")
    low, high = (_bound(title, what, getattr(tensor, what), spec) for what in ("low", "high"))
    whole = tensor.dtype.startswith("int")
    if low is not None and high is not None and (high <= low if whole else high < low):
        rule = "low < high, the first illegal value" if whole else "low <= high"
        raise InputError(f"{title}: expected {rule}, got low {low:g} and high {high:g}: no value is legal")


def _bound(title: str, what: str, value: object, spec: GraphSpec) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _resolved(title, what, value, spec)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{title}: {what}: expected a finite number, a product of sizes or None, got {value!r}")
    return value


def _resolved(title: str, what: str, value: str, spec: GraphSpec) -> float:
    try:
        return resolve(value, spec.sizes)
    except InputError as error:
        raise InputError(f"{title}: {what}: {error}; add it to SPEC.sizes") from error
