"""What a call's arrays have to be, worked out once for each combination of shapes and types.

`lossrt.spec.check_arrays` costs more than the graph itself on a small batch: here its verdict on shapes and types is
remembered, and only values, which change from call to call, are looked at again.
"""

__all__ = ["Checked", "Plan", "Plans"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.runtime.device_array import DeviceArray, Value, as_value, download
from lossrt.runtime.session import Port
from lossrt.spec import GraphSpec, TensorSpec, check_arrays, resolve, resolved_shape

MOST_PLANS = 64


@dataclass(frozen=True, slots=True)
class Range:
    """Integers of input number `position` have to lie in [low, low + span)."""

    position: int
    low: int
    span: int
    unsigned: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from the shapes and types of one call's arrays.

    Attributes:
        inputs: Name, shape and type of each input.
        ranges: Integer inputs that have a range.
        outputs: Shape and type by output.
        sizes: Size of every named dimension.
    """

    inputs: tuple[tuple[str, tuple[int, ...], np.dtype[Any]], ...]
    ranges: tuple[Range, ...]
    outputs: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
    sizes: dict[str, int]

    def new_outputs(self) -> dict[str, NDArray[Any]]:
        """Return new arrays for the outputs, zeroed."""
        return {name: np.zeros(shape, dtype) for name, (shape, dtype) in self.outputs.items()}


@dataclass(frozen=True, slots=True)
class Checked:
    """Arrays that a graph takes, in the order of its inputs, contiguous."""

    values: list[Value]
    plan: Plan


class Plans:
    """The plans of one graph.

    Args:
        spec: The graph's signature.
        ports: The inputs of the loaded graph; those that it dropped are not asked for.
        outputs: Type of each output of the loaded graph.
        check: Which integer arrays are checked for their range (see `LossSession`).
    """

    def __init__(
        self,
        spec: GraphSpec,
        ports: Sequence[Port],
        outputs: Mapping[str, np.dtype[Any]],
        *,
        check: Literal["host", "all", "none"],
    ) -> None:
        named = {tensor.name: tensor for tensor in spec.inputs}
        self._spec = replace(spec, inputs=tuple(named[port.name] for port in ports))
        self._outputs = [
            (output.name, output.dims, outputs[output.name]) for output in spec.outputs if output.name in outputs
        ]
        self._ports, self._check = tuple(ports), check
        self._names = tuple(port.name for port in ports)
        self._plans: dict[object, Plan] = {}
        self._last: Plan | None = None  # any thread's; one that does not fit costs time, no more

    def checked(self, arrays: Mapping[str, Any]) -> Checked:
        """Take over the arrays and check them.

        Raises:
            InputError: One is missing, has another shape or type, or holds a value outside its range.
        """
        plan = self._last
        values = None if plan is None or not hasattr(arrays, "get") else _as_planned(arrays, plan)
        if plan is None or values is None:
            values, plan = self._looked_at(arrays)
            self._last = plan
        if self._check != "none":
            self._check_ranges(plan, values)
        return Checked(values, plan)

    def _looked_at(self, arrays: Mapping[str, Any]) -> tuple[list[Value], Plan]:
        if not isinstance(arrays, Mapping):
            raise InputError(
                f"graph '{self._spec.name}': expected arrays by name, such as {{'{self._names[0]}': array}}, got "
                f"{type(arrays).__name__}"
            )
        values: list[Any] = []
        for name in self._names:
            value: Any = arrays.get(name)
            if type(value) is not np.ndarray:
                value = self._taken(arrays, name)
            # Not ascontiguousarray: it turns a scalar into a vector.
            if type(value) is not DeviceArray and not value.flags.c_contiguous:
                value = value.copy(order="C")
            values.append(value)
        key = tuple([(value.shape, value.dtype) for value in values])
        return values, self._plans.get(key) or self._new_plan(key, values)

    def _taken(self, arrays: Mapping[str, Any], name: str) -> Value:
        if name not in arrays:
            missing = ", ".join(sorted(set(self._names) - set(arrays)))
            raise InputError(
                f"graph '{self._spec.name}': tensor '{name}': expected among the arrays, got "
                f"{', '.join(sorted(arrays)) or 'none'}; add what is missing: {missing}"
            )
        return as_value(arrays[name], name=name)

    def _check_ranges(self, plan: Plan, values: list[Any]) -> None:
        for bound in plan.ranges:
            value = values[bound.position]
            if type(value) is DeviceArray:
                if self._check != "all":
                    continue
                value = download(value)
            # Seen as unsigned, what lies below the range lies far above it: one pass over the array is enough.
            shifted = value if bound.low == 0 else value - bound.low
            if value.size and np.maximum.reduce(shifted.view(bound.unsigned), axis=None) >= bound.span:
                self._refuse(self._names[bound.position], value, plan)

    def _refuse(self, name: str, value: NDArray[Any], plan: Plan) -> None:
        """Let the slow check say which value it is."""
        tensor = replace(self._spec, inputs=(self._spec.input(name),), sizes=plan.sizes)
        check_arrays(tensor, {name: value})

    def _new_plan(self, key: object, values: list[Value]) -> Plan:
        # No value is looked at, so that nothing is read of an array on the GPU.
        named = {
            name: np.broadcast_to(np.empty((), value.dtype), value.shape)
            for name, value in zip(self._names, values, strict=True)
        }
        # What the graph itself fixes comes first: a size that arrays share is read off the first of them.
        for port, tensor, value in zip(self._ports, self._spec.inputs, values, strict=True):
            if not _fits(port, value) or 0 in value.shape:
                got = ", ".join(str(size) for size in value.shape)
                raise InputError(
                    f"graph '{self._spec.name}': tensor '{port.name}': expected {_expected(port, tensor)}, got "
                    f"{value.dtype.name}[{got}]; fix the caller, or export the graph for these sizes"
                )
        sizes = check_arrays(self._spec, named, values=False)
        ranges = [
            _range(position, tensor, value.dtype, sizes)
            for position, (tensor, value) in enumerate(zip(self._spec.inputs, values, strict=True))
        ]
        outputs = {name: (resolved_shape(dims, sizes), dtype) for name, dims, dtype in self._outputs}
        inputs = tuple((name, value.shape, value.dtype) for name, value in zip(self._names, values, strict=True))
        plan = Plan(inputs, tuple(bound for bound in ranges if bound), outputs, sizes)
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        self._plans[key] = plan
        return plan


def _as_planned(arrays: Mapping[str, Any], plan: Plan) -> list[Value] | None:
    """Return the inputs if all are numpy arrays that the plan was made for; None where that takes a second look."""
    values: list[Value] = []
    for name, shape, dtype in plan.inputs:
        value = arrays.get(name)
        if (
            type(value) is not np.ndarray
            or value.shape != shape
            or value.dtype is not dtype
            or not value.flags.c_contiguous
        ):
            return None
        values.append(value)
    return values


def _expected(port: Port, tensor: TensorSpec) -> str:
    """Return type and sizes that an input takes: `float32[B >= 1, 2, H=136, W=240]`."""
    if len(tensor.dims) != len(port.shape):
        return str(port)
    sizes = [
        f"{dim} >= 1" if size is None else f"{dim}={size}" if isinstance(dim, str) else str(size)
        for dim, size in zip(tensor.dims, port.shape, strict=True)
    ]
    return f"{port.dtype.name}[{', '.join(sizes)}]"


def _fits(port: Port, value: Value) -> bool:
    """Say whether a port takes an array; int64 as well where TensorRT 8.x has made an input int32."""
    open_shape = len(value.shape) == len(port.shape)
    sizes = open_shape and all(want in (None, got) for want, got in zip(port.shape, value.shape, strict=True))
    narrowed = value.dtype == np.int64 and port.dtype == np.int32
    return sizes and (value.dtype == port.dtype or narrowed)


def _range(position: int, tensor: TensorSpec, dtype: np.dtype[Any], sizes: Mapping[str, int]) -> Range | None:
    if dtype.kind not in "iu" or tensor.low is None or tensor.high is None:
        return None
    low, high = int(resolve(tensor.low, sizes)), int(resolve(tensor.high, sizes))
    return Range(position, low, max(high - low, 0), np.dtype(f"u{dtype.itemsize}"))
