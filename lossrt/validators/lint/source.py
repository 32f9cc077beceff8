"""Read any ONNX file for the lint: nothing is executed, and weights are neither copied nor loaded.

What the rules need of a large constant (its range, its type, its shape) is taken before its data are dropped; the graph
that goes on weighs a few megabytes at most. Weights in other files are looked for, not read.
"""

__all__ = ["ConstantFacts", "LintModel", "read_model"]

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from lossrt.errors import InputError
from lossrt.validators.lint.structure import check_structure

PROTOBUF_LIMIT = 2**31 - 1
KEPT_ELEMENTS = 1024
"""Constants up to this size keep their values: shapes, axes, thresholds."""

_INTEGERS = frozenset({TensorProto.INT64, TensorProto.INT32})


@dataclass(frozen=True, slots=True)
class ConstantFacts:
    """What is known of a constant.

    Attributes:
        minimum: Smallest value, of integer constants only.
        maximum: Largest value, of integer constants only.
    """

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class LintModel:
    """A model without the data of its large constants.

    Attributes:
        proto: The model.
        facts: Facts of every constant by its name.
    """

    proto: onnx.ModelProto
    facts: dict[str, ConstantFacts]


def read_model(model: Path | str | onnx.ModelProto) -> LintModel:
    """Read a model and check its structure.

    Args:
        model: Path of an ONNX file, or a model in memory; a model in memory is left as it is.

    Raises:
        InputError: The file is missing or not ONNX, weights in other files are missing or lie outside the model's folder, or
            the graph is not a graph: cyclic, unsorted, a value that nothing produces or that two nodes produce.
    """
    if isinstance(model, onnx.ModelProto):
        where, folder, proto = "ONNX model", None, onnx.ModelProto()
        proto.CopyFrom(model)
    else:
        where, folder, proto = f"ONNX model '{model}'", Path(model).parent, _parse(Path(model))
    if not proto.HasField("graph") or not proto.opset_import:
        raise InputError(f"{where}: expected a graph and the opsets it imports, got none; is this an ONNX model?")
    facts: dict[str, ConstantFacts] = {}
    for tensor in _tensors(proto):
        if tensor.data_location == TensorProto.EXTERNAL:
            _check_external(tensor, folder, where)
        elif tensor.name or tensor.data_type in _INTEGERS:
            facts[tensor.name] = _facts(tensor, where)
        _drop_data(tensor)
    check_structure(proto, where)
    return LintModel(proto, facts)


def _parse(path: Path) -> onnx.ModelProto:
    where = f"ONNX model '{path}'"
    try:
        size = path.stat().st_size
        if size > PROTOBUF_LIMIT:
            raise InputError(
                f"{where}: {size} bytes; a single ONNX file holds at most 2 GB: save it with its weights in another file, "
                "onnx.save(model, PATH, save_as_external_data=True)"
            )
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{where}: expected a readable ONNX file, got: {error}") from error
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's error has no name that onnx exports
        raise InputError(f"{where}: expected an ONNX file, got something else ({error}); check the path") from error


def _tensors(proto: onnx.ModelProto) -> Iterator[TensorProto]:
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            # A constant is known by the value that it gives.
            if node.op_type == "Constant" and node.output:
                attribute.t.name = node.output[0]
            yield attribute.t
        elif attribute.type == AttributeProto.TENSORS:
            yield from attribute.tensors
        elif attribute.type == AttributeProto.GRAPH:
            yield from _graph_tensors(attribute.g)
        elif attribute.type == AttributeProto.GRAPHS:
            for graph in attribute.graphs:
                yield from _graph_tensors(graph)


def _facts(tensor: TensorProto, where: str) -> ConstantFacts:
    if tensor.data_type not in _INTEGERS:
        return ConstantFacts()
    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: constant '{tensor.name}': {error}; the file is damaged, export it again") from error
    if not values.size:
        return ConstantFacts()
    return ConstantFacts(int(np.min(values)), int(np.max(values)))


def _drop_data(tensor: TensorProto) -> None:
    if int(np.prod(np.array(tensor.dims, dtype=np.float64))) <= KEPT_ELEMENTS:
        return
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data"):
        tensor.ClearField(field)


def _check_external(tensor: TensorProto, folder: Path | None, where: str) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    named = f"{where}: tensor '{tensor.name}'"
    if folder is None:
        raise InputError(
            f"{named}: its data lie in '{location}', which a model in memory cannot find; pass the file's path"
        )
    base = folder.resolve()
    path = (base / location).resolve()
    if not location or Path(location).is_absolute() or not path.is_relative_to(base):
        raise InputError(
            f"{named}: its data lie in '{location}', outside the model's folder; refused: move the file beside the model"
        )
    if not path.is_file():
        raise InputError(f"{named}: its data lie in '{location}', which is missing beside the model; copy it there")
    needed = _number(entries.get("offset", "0"), named) + _number(entries.get("length", "0"), named)
    if path.stat().st_size < needed:
        raise InputError(
            f"{named}: expected at least {needed} bytes in '{location}', got {path.stat().st_size}; copy the whole file"
        )


def _number(text: str, named: str) -> int:
    if not text.isdecimal():
        raise InputError(f"{named}: expected a number of bytes in its location, got '{text}'; export the model again")
    return int(text)
