"""Which nodes of a network ONNX Runtime cannot run here: every one of them, where loading it stops at the first.

Requires nothing of the model but that it is ONNX. Each kind of node is put into a model of its own and loaded.
"""

__all__ = ["NodeProblem", "ort_problems"]

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper, inliner, shape_inference

from lossrt.errors import InputError
from lossrt.runtime.ort import load_error

_TELLING = (
    "is not a registered function/op",
    "No Op registered for",
    "Could not find an implementation",
    "No opset import",
    "Type Error: Type",
)
"""Parts of ONNX Runtime's messages that blame the operator itself; a lone node may fail for other reasons too."""

_Kind = tuple[str, str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class NodeProblem:
    """A node that cannot be run.

    Attributes:
        node: Its name, or its first output's; empty where the model as a whole is refused.
        op: Its operator, with the domain where that is not ONNX's own.
        reason: The backend's words.
    """

    node: str
    op: str
    reason: str


def ort_problems(path: Path, *, operators: Path | None = None) -> tuple[NodeProblem, ...]:
    """List the nodes that keep ONNX Runtime from loading a network; empty where it loads.

    Args:
        path: The ONNX file; its weights may lie beside it.
        operators: A library of operators of one's own, already trusted.

    Raises:
        InputError: The file is missing or not ONNX.
        BackendError: ONNX Runtime is not installed.
    """
    proto = _read(path)
    error = load_error(path, operators=operators)
    if not error:
        return ()
    return tuple(_node_problems(_typed(proto), operators)) or (NodeProblem("", "", error),)


def _read(path: Path) -> onnx.ModelProto:
    try:
        proto = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's and the file system's errors share no base
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"ONNX model '{path}': expected a readable ONNX file, got: {reason}; check the path"
        ) from error
    if not proto.graph.node:
        raise InputError(f"ONNX model '{path}': expected nodes, got none; is this an ONNX model?")
    return proto


def _typed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its functions inlined and its tensors' types inferred, as far as that goes."""
    try:
        return shape_inference.infer_shapes(inliner.inline_local_functions(proto) if proto.functions else proto)
    except Exception:  # a model that is refused anyway: types stay unknown
        return proto


def _node_problems(proto: onnx.ModelProto, operators: Path | None) -> Iterator[NodeProblem]:
    reasons: dict[_Kind, str] = {}
    for graph in _graphs(proto.graph):
        types = _types(proto.graph) | _types(graph)
        for node in graph.node:
            kinds = tuple(types.get(name, 0) if name else -1 for name in node.input)
            key = (node.domain, node.op_type, kinds)
            if key not in reasons:
                reasons[key] = "" if _has_graph(node) else _reason(proto, node, kinds, operators)
            if reasons[key]:
                op = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
                yield NodeProblem(node.name or next(iter(node.output), ""), op, reasons[key])


def _reason(proto: onnx.ModelProto, node: onnx.NodeProto, kinds: tuple[int, ...], operators: Path | None) -> str:
    """Load the node alone; return ONNX Runtime's words where they blame its operator, else nothing."""
    lone = onnx.NodeProto()
    lone.CopyFrom(node)
    if any(kind == 0 for kind in kinds) and onnx.defs.has(node.op_type, node.domain):
        return ""
    # The type that an unknown operator is given does not matter: it is not found either way.
    inputs = {
        name: helper.make_tensor_value_info(name, kind or TensorProto.FLOAT, None)
        for name, kind in zip(node.input, kinds, strict=True)
        if name
    }
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([lone], "node", list(inputs.values()), outputs)
    model = helper.make_model(graph, opset_imports=list(proto.opset_import), ir_version=proto.ir_version)
    error = load_error(model.SerializeToString(), operators=operators)
    return error if any(part in error for part in _TELLING) else ""


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _has_graph(node: onnx.NodeProto) -> bool:
    return any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute)


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    values = {
        value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)
    }
    return values | {tensor.name: tensor.data_type for tensor in graph.initializer}
