"""A graph as the rules see it: every node, those of subgraphs and local functions included, with what is known of its values."""

__all__ = ["ELEMENT_NAMES", "GraphView", "NodeView", "Value", "type_name"]

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper, shape_inference

from lossrt.validators.lint.source import ConstantFacts, LintModel

STANDARD_DOMAINS = ("", "ai.onnx")

ELEMENT_NAMES = {"float": "float32", "double": "float64"}
"""Elements of ONNX's enum that people call otherwise."""

Dim = int | str | None


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a value.

    Attributes:
        type: Element type such as `float32`; empty where unknown.
        shape: Sizes; a name or None for an open one; None where the rank is unknown.
    """

    type: str = ""
    shape: tuple[Dim, ...] | None = None


@dataclass(slots=True)
class GraphView:
    """One graph or subgraph.

    Attributes:
        path: Where it hangs, for example `if_1/then_branch`; empty for the main graph.
        outer: The graph around it.
        inputs: Names of its inputs that are no constants.
        outputs: Names of its outputs.
        values: What is known of its values.
        constants: Its constants.
        makers: The node that makes each value.
        folded: Values computed from constants alone.
        static: Values computed from constants and known shapes.
        nodes: Its nodes, in order.
    """

    path: str
    outer: "GraphView | None"
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, TensorProto] = field(default_factory=dict)
    makers: dict[str, "NodeView"] = field(default_factory=dict)
    folded: set[str] = field(default_factory=set)
    static: set[str] = field(default_factory=set)
    nodes: list["NodeView"] = field(default_factory=list)

    def value(self, name: str) -> Value:
        """Return what is known of a value, here or in a graph around."""
        return self.values.get(name) or (self.outer.value(name) if self.outer else Value())

    def constant(self, name: str) -> TensorProto | None:
        """Return the constant of this name, here or in a graph around."""
        found = self.constants.get(name)
        return found if found is not None or self.outer is None else self.outer.constant(name)

    def maker(self, name: str) -> "NodeView | None":
        """Return the node that makes a value, here or in a graph around."""
        return self.makers.get(name) or (self.outer.maker(name) if self.outer else None)

    def is_static(self, name: str) -> bool:
        """Say whether a value is known when the engine is built: from constants and known shapes."""
        return name in self.static or (self.outer is not None and self.outer.is_static(name))

    def is_folded(self, name: str) -> bool:
        """Say whether a value is computed from constants alone."""
        return name in self.folded or (self.outer is not None and self.outer.is_folded(name))

    def is_input(self, name: str) -> bool:
        """Say whether a value is an input of the whole model."""
        return name in self.inputs if self.outer is None else name not in self.makers and self.outer.is_input(name)


@dataclass(frozen=True, slots=True, eq=False)
class NodeView:
    """One node.

    Attributes:
        proto: The node.
        graph: The graph it is in.
        path: What findings call it.
        bodies: Its subgraphs by attribute.
        facts: Facts of the model's constants.
        opset: The model's opset of the standard domain.
    """

    proto: onnx.NodeProto
    graph: GraphView
    path: str
    bodies: Mapping[str, GraphView]
    facts: Mapping[str, ConstantFacts]
    opset: int

    @property
    def op(self) -> str:
        """The operator."""
        return self.proto.op_type

    @property
    def is_standard(self) -> bool:
        """True for operators of ONNX's own domain."""
        return self.proto.domain in STANDARD_DOMAINS

    def input(self, position: int) -> str:
        """Return the name of an input; empty where it is not given."""
        return self.proto.input[position] if position < len(self.proto.input) else ""

    def input_value(self, position: int) -> Value:
        """Return what is known of an input."""
        return self.graph.value(self.input(position))

    def attribute(self, name: str) -> AttributeProto | None:
        """Return an attribute as it stands, or None."""
        return next((entry for entry in self.proto.attribute if entry.name == name), None)

    def setting(self, name: str, default: object) -> object:
        """Return an attribute's value as number, text or list; `default` where it is not given."""
        entry = self.attribute(name)
        if entry is None:
            return default
        value = helper.get_attribute_value(entry)
        if isinstance(value, bytes):
            return value.decode("utf-8", errors="replace")
        return value if isinstance(value, str | int | float) else list(value)

    def constant_input(self, position: int) -> NDArray[np.generic] | None:
        """Return the values of an input that is a small constant; None otherwise."""
        tensor = self.graph.constant(self.input(position))
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
            return None
        try:
            return np.asarray(numpy_helper.to_array(tensor))
        except (ValueError, TypeError):  # its data were dropped
            return None


def view_model(model: LintModel) -> tuple[NodeView, ...]:
    """Return every node of the main graph and of its subgraphs, outer nodes first."""
    inferred = infer(model.proto)
    main = _view(inferred.graph, "", None, model.facts, opset_of(inferred))
    return tuple(_walk(main))


def infer(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with inferred types and shapes; the model itself where ONNX cannot infer them."""
    try:
        return shape_inference.infer_shapes(proto, strict_mode=False, data_prop=True)
    except Exception:  # onnx raises several kinds for models that other parsers take
        return proto


def opset_of(proto: onnx.ModelProto) -> int:
    """Return the model's opset of the standard domain; 0 where it imports none."""
    return next((entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS), 0)


def type_name(kind: int) -> str:
    """Return the name that people give to one of ONNX's element types; empty where it is unknown."""
    if not kind:
        return ""
    name = TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else f"type {kind}"
    return ELEMENT_NAMES.get(name, name)


def _view(
    graph: onnx.GraphProto, path: str, outer: GraphView | None, facts: Mapping[str, ConstantFacts], opset: int
) -> GraphView:
    view = GraphView(path, outer)
    view.constants = {tensor.name: tensor for tensor in graph.initializer}
    view.inputs = tuple(value.name for value in graph.input if value.name not in view.constants)
    view.outputs = tuple(value.name for value in graph.output)
    view.folded, view.static = set(view.constants), set(view.constants)
    for info in (*graph.value_info, *graph.output, *graph.input):
        view.values[info.name] = _value(info.type)
    for tensor in graph.initializer:
        view.values[tensor.name] = Value(type_name(tensor.data_type), tuple(tensor.dims))
    for number, node in enumerate(graph.node):
        _add_node(view, node, number, facts, opset)
    return view


def _add_node(
    view: GraphView, node: onnx.NodeProto, number: int, facts: Mapping[str, ConstantFacts], opset: int
) -> None:
    name = node.name or next((output for output in node.output if output), f"{node.op_type}:{number}")
    path = f"{view.path}/{name}" if view.path else name
    bodies = {
        entry.name: _view(entry.g, f"{path}/{entry.name}", view, facts, opset)
        for entry in node.attribute
        if entry.type == AttributeProto.GRAPH
    }
    made = NodeView(node, view, path, bodies, facts, opset)
    view.nodes.append(made)
    view.makers |= {output: made for output in node.output if output}
    if node.op_type == "Constant" and node.output:
        _add_constant(view, node)
    given = [name for name in node.input if name]
    if node.op_type == "Constant" or (given and not bodies and all(view.is_folded(name) for name in given)):
        view.folded |= set(node.output)
    shape = view.value(given[0]).shape if node.op_type in ("Shape", "Size") and given else None
    known_shape = shape is not None and all(isinstance(size, int) for size in shape)
    if known_shape or node.op_type == "Constant" or (given and not bodies and all(view.is_static(n) for n in given)):
        view.static |= set(node.output)


def _add_constant(view: GraphView, node: onnx.NodeProto) -> None:
    entry = next(iter(node.attribute), None)
    if entry is None:
        return
    if entry.type == AttributeProto.TENSOR:
        tensor = entry.t
    elif entry.name in ("value_int", "value_ints", "value_float", "value_floats"):
        value = np.array(helper.get_attribute_value(entry), np.int64 if "int" in entry.name else np.float32)
        tensor = numpy_helper.from_array(value)
    else:
        return
    view.constants[node.output[0]] = tensor
    view.values[node.output[0]] = Value(type_name(tensor.data_type), tuple(tensor.dims))


def _value(kind: onnx.TypeProto) -> Value:
    tensor = kind.tensor_type
    if not kind.HasField("tensor_type"):
        return Value((kind.WhichOneof("value") or "").removesuffix("_type"))
    if not tensor.HasField("shape"):
        return Value(type_name(tensor.elem_type))
    return Value(type_name(tensor.elem_type), tuple(_dim(dim) for dim in tensor.shape.dim))


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None


def _walk(graph: GraphView) -> Iterator[NodeView]:
    for node in graph.nodes:
        yield node
        for body in node.bodies.values():
            yield from _walk(body)
