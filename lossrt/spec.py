"""What goes into a graph and comes out of it: names, types, dimensions and legal values, as data.

The torch side writes a `GraphSpec` into the bundle's manifest; the torch-free side checks arrays against it.
"""

__all__ = [
    "Estimate",
    "GraphSpec",
    "OutputSpec",
    "TensorSpec",
    "check_arrays",
    "dim_sizes",
    "resolve",
    "resolved_shape",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError

Dim = int | str
Bound = int | float | str | None


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input of a graph.

    Attributes:
        name: Name on the wire, for example `pred_hm` or `ind`.
        dtype: numpy name of the element type in the fp32 graph.
        dims: One entry a dimension: a size, or a product of named sizes such as `M` or `17*M`.
        role: `prediction` (a network output), `target` (an annotation) or `parameter` (a learned scalar).
        low: Smallest legal value; None where unbounded.
        high: Integers: the first illegal value, as in `range`; floats: the largest legal value; None where unbounded.
            Either bound may be a product of named sizes, such as `H*W`.
        unit: Unit of the values, for people.
    """

    name: str
    dtype: str
    dims: tuple[Dim, ...]
    role: Literal["prediction", "target", "parameter"]
    low: Bound = None
    high: Bound = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output of a graph: its name on the wire and its dimensions (`()` for a scalar loss)."""

    name: str
    dims: tuple[Dim, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """The signature of a graph for one recipe.

    Attributes:
        name: Graph name, for example `generic_loss`.
        inputs: Inputs, in the order of the graph.
        outputs: Outputs, in the order of the graph.
        sizes: The recipe's size of every named dimension, for example `{"B": 10, "M": 256}`.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[OutputSpec, ...]
    sizes: dict[str, int]

    def input(self, name: str) -> TensorSpec:
        """Return the input called `name`; KeyError when there is none."""
        for tensor in self.inputs:
            if tensor.name == name:
                return tensor
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A result in float64 with what its rounding error is measured by.

    Attributes:
        value: The output, float64.
        scale: Σ|terms| of the sums behind it, propagated to the output; same shape and unit.
        terms: Number of terms summed into it.
    """

    value: NDArray[np.float64]
    scale: NDArray[np.float64]
    terms: int

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """Where rounding decides between two values, as next to a kink of the loss: no sum explains such a scale."""
        largest = float(np.abs(self.value[np.isfinite(self.value)]).max(initial=0.0))
        return np.asarray(self.scale > 4 * self.terms * largest)


def resolve(value: Dim | float, sizes: Mapping[str, int]) -> float:
    """Return the number that a dimension or bound stands for.

    Args:
        value: A number, or a product such as `H*W` or `17*M`.
        sizes: Size of every named dimension.

    Raises:
        InputError: A factor is neither a number nor a known name.
    """
    if not isinstance(value, str):
        return value
    product = 1
    for factor in value.split("*"):
        if factor.isdigit():
            product *= int(factor)
        elif factor in sizes:
            product *= sizes[factor]
        else:
            raise InputError(f"dimension '{value}': no size is known for '{factor}'; known: {', '.join(sorted(sizes))}")
    return product


def resolved_shape(dims: tuple[Dim, ...], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return the shape that `dims` has when its names take `sizes`."""
    return tuple(int(resolve(dim, sizes)) for dim in dims)


def dim_sizes(spec: GraphSpec, arrays: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Read the named sizes off the arrays: the first input that carries a name decides its size.

    Raises:
        InputError: An input is missing or has the wrong number of dimensions.
    """
    found: dict[str, int] = {}
    for tensor in spec.inputs:
        array = _present(tensor, spec, arrays)
        if array.ndim != len(tensor.dims):
            raise InputError(_mismatch(tensor, array, spec.sizes | found))
        for dim, size in zip(tensor.dims, array.shape, strict=True):
            if isinstance(dim, str) and dim in spec.sizes:
                found.setdefault(dim, size)
    return spec.sizes | found


def check_arrays(spec: GraphSpec, arrays: Mapping[str, NDArray[Any]], *, values: bool = True) -> dict[str, int]:
    """Check named arrays against a graph's inputs.

    Args:
        spec: The graph's signature.
        arrays: The arrays by wire name; entries that the graph does not take are ignored.
        values: Check integer ranges as well: an index outside its range reads other memory, or zeros, on a device.

    Returns:
        The size of every named dimension in these arrays.

    Raises:
        InputError: An array is missing, has another shape or type, or holds an index outside its range.
    """
    sizes = dim_sizes(spec, arrays)
    for tensor in spec.inputs:
        array = arrays[tensor.name]
        if array.shape != resolved_shape(tensor.dims, sizes) or not _same_kind(array.dtype, tensor.dtype):
            raise InputError(_mismatch(tensor, array, sizes))
        if values and array.dtype.kind in "iu" and array.size:
            _check_range(tensor, array, sizes)
    return sizes


def _present(tensor: TensorSpec, spec: GraphSpec, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    if tensor.name not in arrays:
        raise InputError(
            f"tensor '{tensor.name}': expected among the inputs of graph '{spec.name}', got {', '.join(sorted(arrays)) or 'nothing'}; add it"
        )
    return arrays[tensor.name]


def _same_kind(dtype: np.dtype[Any], expected: str) -> bool:
    """A float tensor may travel in any of the deployed float types; everything else must match exactly."""
    if expected == "float32":
        return dtype.name in {"float32", "float16", "bfloat16"}
    return dtype.name == expected


def _check_range(tensor: TensorSpec, array: NDArray[Any], sizes: Mapping[str, int]) -> None:
    low = -math.inf if tensor.low is None else resolve(tensor.low, sizes)
    high = math.inf if tensor.high is None else resolve(tensor.high, sizes)
    bad = (array < low) | (array >= high)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        bound = (
            f"[{tensor.low}, {tensor.high})"
            if not isinstance(tensor.high, str)
            else f"[{tensor.low}, {tensor.high}={int(high)})"
        )
        raise InputError(
            f"tensor '{tensor.name}': expected every value in {bound}, got {array[index]} at {index}; fix what wrote the targets, or export with the map size that they were made for"
        )


def _mismatch(tensor: TensorSpec, array: NDArray[Any], sizes: Mapping[str, int]) -> str:
    expected = ", ".join(f"{d}={int(resolve(d, sizes))}" if isinstance(d, str) else str(d) for d in tensor.dims)
    got = ", ".join(str(size) for size in array.shape)
    return (
        f"tensor '{tensor.name}': expected {tensor.dtype}[{expected}], got {array.dtype.name}[{got}]; "
        "fix the caller, or change the recipe and re-run `make export`"
    )
