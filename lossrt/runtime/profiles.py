"""Optimization profiles: the sizes that an engine with open dimensions is compiled for."""

__all__ = ["InputRange", "ProfileRange", "profile_inputs"]

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from lossrt.errors import InputError
from lossrt.spec import resolve

InputRange = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Smallest, best-tuned and largest shape of one input."""


@dataclass(frozen=True, slots=True)
class ProfileRange:
    """Sizes that one named dimension may take.

    Attributes:
        minimum: Smallest size, at least 1.
        optimum: Size that the engine is tuned for.
        maximum: Largest size; scratch memory grows with it.

    Raises:
        InputError: Not 1 <= minimum <= optimum <= maximum.
    """

    minimum: int
    optimum: int
    maximum: int

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.optimum <= self.maximum:
            raise InputError(
                "profile: expected 1 <= minimum <= optimum <= maximum, "
                f"got {self.minimum}, {self.optimum}, {self.maximum}; put the sizes in order"
            )


def profile_inputs(
    proto: onnx.ModelProto, ranges: Mapping[str, ProfileRange], *, where: str = "ONNX model"
) -> dict[str, InputRange]:
    """Return the shapes of every input that has an open dimension.

    A name that several inputs share has the same sizes in all of them, since they come from the name alone.

    Args:
        proto: The model.
        ranges: Sizes by dimension name; names that the model keeps fixed are ignored.
        where: What messages call the model.

    Returns:
        (minimum, optimum, maximum) shape by input name; empty for a model without open dimensions.

    Raises:
        InputError: An open dimension has no name, or its name (or a factor of it, as in `17*M`) has no range.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    profile = {}
    for value in inputs:
        dims = [_dimension(value, axis, where) for axis in range(len(value.type.tensor_type.shape.dim))]
        if any(isinstance(dim, str) for dim in dims):
            named = f"{where}: input '{value.name}'"
            profile[value.name] = (
                _shape(dims, {name: span.minimum for name, span in ranges.items()}, named),
                _shape(dims, {name: span.optimum for name, span in ranges.items()}, named),
                _shape(dims, {name: span.maximum for name, span in ranges.items()}, named),
            )
    return profile


def _dimension(value: onnx.ValueInfoProto, axis: int, where: str) -> int | str:
    dim = value.type.tensor_type.shape.dim[axis]
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    if not dim.dim_param:
        raise InputError(
            f"{where}: input '{value.name}', dimension {axis}: open but without a name, so no profile can give its "
            "size; export it with named dimensions (`lossrt export --dynamic batch`)"
        )
    return str(dim.dim_param).replace(" ", "")


def _shape(dims: list[int | str], sizes: dict[str, int], where: str) -> tuple[int, ...]:
    try:
        return tuple(int(resolve(dim, sizes)) for dim in dims)
    except InputError as error:
        shown = ", ".join(str(dim) for dim in dims)
        raise InputError(
            f"{where}: expected a range for every open dimension of [{shown}], got {', '.join(sorted(sizes)) or 'none'}; "
            "give the missing one, or export with --static"
        ) from error
