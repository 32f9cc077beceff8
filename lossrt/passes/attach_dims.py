"""Make the dimensions of a loss graph those of the network that it goes behind.

Requires: outputs that fit the recipe's channels and map. Ensures: one name stands for one size in the whole: the losses' open
dimensions take the network's size or name, and a name that means something else in the network is changed in the losses.
"""

__all__ = ["reconcile_dims", "with_dims"]

import math
import re
from collections.abc import Mapping

import onnx

from lossrt.errors import InputError
from lossrt.passes.attach_names import free_name

Dim = int | str


def reconcile_dims(
    losses: onnx.ModelProto, fed: Mapping[str, onnx.ValueInfoProto], network: onnx.ModelProto
) -> dict[str, Dim]:
    """Return what each open dimension of the losses becomes.

    Args:
        losses: The loss graph.
        fed: The network's output by prediction.
        network: The network, its shapes inferred.

    Returns:
        A size or a name, by the losses' name; a name that stays is left out.

    Raises:
        InputError: The network's batch is not the losses', or differs from output to output.
    """
    found: dict[str, Dim] = {}
    batch = _first_dim(network)
    for entry in losses.graph.input:
        if entry.name not in fed:
            continue
        output = fed[entry.name]
        theirs = _dims(output)
        for axis, own in enumerate(_dims(entry)):
            other = theirs[axis] if axis < len(theirs) else ""
            if axis == 0:
                other = other or batch
                _check_batch(own, other, output.name)
            if isinstance(own, str) and other:
                _note(found, own, other, output.name)
    return found | _moved_aside(losses, network, found)


def with_dims(value: onnx.ValueInfoProto, dims: Mapping[str, Dim]) -> onnx.ValueInfoProto:
    """Return a declaration with its open dimensions, products of them such as `17*M` as well, as `dims` says."""
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    for dim in copy.type.tensor_type.shape.dim:
        if dim.dim_param:
            factors = [dims.get(factor, factor) for factor in re.split(r"\s*\*\s*", dim.dim_param)]
            sizes = [int(factor) for factor in factors if str(factor).isdigit()]
            if len(sizes) == len(factors):
                dim.dim_value = math.prod(sizes)
            else:
                dim.dim_param = "*".join(map(str, factors))
    return copy


def _dims(value: onnx.ValueInfoProto) -> list[Dim]:
    """Size, or name, or "" where neither is known."""
    return [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]


def _first_dim(network: onnx.ModelProto) -> Dim:
    """Return the network's batch as its inputs say it: the first dimension that they share, or ""."""
    weights = {tensor.name for tensor in network.graph.initializer}
    dims = {dims[0] for entry in network.graph.input if entry.name not in weights and len(dims := _dims(entry)) == 4}
    return dims.pop() if len(dims) == 1 else ""


def _check_batch(own: Dim, other: Dim, output: str) -> None:
    if isinstance(own, int) and own != other:
        got = f"a batch of {other}" if isinstance(other, int) else "an open batch"
        raise InputError(
            f"network: output '{output}': expected the bundle's batch of {own}, got {got}; export the bundle with "
            f"{f'--batch {other}' if isinstance(other, int) else '--dynamic batch'}, or the network with batch {own}"
        )


def _note(found: dict[str, Dim], own: str, other: Dim, output: str) -> None:
    """Keep what an open dimension is: a size wins over a name, and two sizes must agree."""
    known = found.get(own)
    if isinstance(known, int) and isinstance(other, int) and known != other:
        raise InputError(
            f"network: output '{output}': expected {own}={known}, as in the other outputs, got {other}; name the right "
            "outputs with --map HEAD=OUTPUT"
        )
    if known is None or isinstance(other, int):
        found[own] = other


def _moved_aside(losses: onnx.ModelProto, network: onnx.ModelProto, found: Mapping[str, Dim]) -> dict[str, Dim]:
    """Rename what is still open in the losses where the network has a dimension of that name."""
    graph = network.graph
    theirs = {name for entry in (*graph.input, *graph.output) for name in _dims(entry) if isinstance(name, str)}
    declared = [name for entry in losses.graph.input for name in _dims(entry) if isinstance(name, str)]
    open_dims = {factor for name in declared for factor in re.split(r"\s*\*\s*", name) if not factor.isdigit()}
    taken = theirs | open_dims
    return {name: free_name(f"loss_{name}", taken) for name in sorted((open_dims & theirs) - {""} - set(found))}
