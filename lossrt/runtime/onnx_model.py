"""Read an ONNX file that somebody else wrote, and refuse what no TensorRT compiles faithfully."""

__all__ = ["ENGINE_TYPES", "parse_model", "read_model", "refuse_types"]

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto

from lossrt.errors import InputError

ENGINE_TYPES = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.BFLOAT16,
        TensorProto.INT64,
        TensorProto.INT32,
        TensorProto.INT8,
        TensorProto.UINT8,
        TensorProto.BOOL,
    }
)
"""Element types that an engine keeps; float64 would be demoted to float32 without a word, the rest is refused."""


def read_model(path: Path) -> bytes:
    """Return the bytes of a model's file.

    Raises:
        InputError: It is missing or unreadable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"ONNX model '{path}': expected a readable ONNX file, got: {error}; check the path") from error


def parse_model(content: bytes, *, where: str) -> onnx.ModelProto:
    """Parse and check an ONNX model.

    Args:
        content: The file's bytes.
        where: What messages call the model.

    Raises:
        InputError: It is not ONNX, breaks ONNX's rules, or keeps weights in other files.
    """
    try:
        proto = onnx.load_model_from_string(content)
        outside = [tensor.name for tensor in proto.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
        if not outside:
            onnx.checker.check_model(proto)
    except Exception as error:  # protobuf's and the checker's errors share no base
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{where}: expected a valid ONNX model, got: {reason}; export it again") from error
    if outside:
        raise InputError(
            f"{where}: expected its weights inside, got {len(outside)} in other files ('{outside[0]}' first); "
            "save it as one file: onnx.save(onnx.load(PATH), OTHER, save_as_external_data=False)"
        )
    return proto


def refuse_types(proto: onnx.ModelProto, *, where: str) -> None:
    """Refuse a model that uses an element type which an engine would demote or refuse.

    Args:
        proto: The model; its subgraphs and functions are searched as well.
        where: What messages call it.

    Raises:
        InputError: Such a type is used: every use is named.
    """
    found = [f"{user} is {_type_name(kind)}" for user, kind in _used_types(proto) if kind not in ENGINE_TYPES]
    if found:
        kept = ", ".join(sorted(_type_name(kind) for kind in ENGINE_TYPES))
        raise InputError(
            f"{where}: {'; '.join(dict.fromkeys(found))}; an engine keeps only {kept} (it demotes float64 to float32 "
            "without saying so); cast in the model before you export it"
        )


def _used_types(proto: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    yield from _graph_types(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from _node_types(node)


def _graph_types(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    for role, values in (("input", graph.input), ("output", graph.output), ("tensor", graph.value_info)):
        for value in values:
            if value.type.tensor_type.elem_type:
                yield f"{role} '{value.name}'", value.type.tensor_type.elem_type
    for tensor in graph.initializer:
        yield f"initializer '{tensor.name}'", tensor.data_type
    for node in graph.node:
        yield from _node_types(node)


def _node_types(node: onnx.NodeProto) -> Iterator[tuple[str, int]]:
    user = f"node '{node.name or node.output[0]}' ({node.op_type})"
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            yield user, attribute.t.data_type
        elif node.op_type == "Cast" and attribute.name == "to" and attribute.i:
            yield user, attribute.i
        elif attribute.type == onnx.AttributeProto.GRAPH:
            yield from _graph_types(attribute.g)


def _type_name(kind: int) -> str:
    # Elements of ONNX's enum read FLOAT and DOUBLE; people write float32 and float64.
    name = TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else f"type {kind}"
    return {"float": "float32", "double": "float64"}.get(name, name)
