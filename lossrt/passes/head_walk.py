"""Walk back through one head of a network: convolution 3x3, ReLU, convolution 1x1.

Source of the form: CenterTrack `src/lib/model/networks/base_model.py` with one `head_conv`. Nothing is executed, so
what lies before the head may hold operators that nothing here knows.
"""

__all__ = [
    "PARAMETERS",
    "SEPARATE",
    "FoundHead",
    "Graph",
    "HeadFormError",
    "HeadLayers",
    "heads_among",
    "serves_many",
    "title",
    "walk_head",
]

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from lossrt.errors import InputError
from lossrt.passes.walk import nodes_in

PARAMETERS = ("0_weight", "0_bias", "2_weight", "2_bias")
"""A head's parameters, as CenterTrack's checkpoints number the layers, with `_` for the dot."""
ACTIVATIONS = frozenset({"Sigmoid", "Clip", "Min", "Max", "Add", "Sub", "Mul", "Div", "Reciprocal", "Cast", "Identity"})
"""What an activation consists of: `hm` is a sigmoid with its ends cut off, `dep` is 1 / (sigmoid + 1e-6) - 1."""
MAP_QUANTISERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
QUANTISERS = MAP_QUANTISERS | {"QLinearConv", "ConvInteger"}
HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
WIDEN = "tune the float32 network, then convert it again"
SEPARATE = "export again without merging equal initializers"


class HeadFormError(InputError):
    """A head is not of the form that training knows.

    Attributes:
        found: What was expected where, and what is there.
        mend: What to do about it; empty where only leaving the head alone helps.
    """

    def __init__(self, found: str, mend: str = "") -> None:
        leave = "fine-tuning knows this form only: leave the head out of the recipe, or train it where PyTorch is"
        super().__init__(f"{found}; {mend or leave}")
        self.found, self.mend = found, mend


@dataclass(frozen=True, slots=True)
class HeadLayers:
    """Where a head lies in the graph.

    Attributes:
        head: Name of the head.
        output: Value that it gives: the result of its 1x1 convolution.
        hidden: Value after its ReLU.
        initializers: Name in the network of each of its parameters, by `0_weight` [K, F, 3, 3], `0_bias` [K],
            `2_weight` [D, K, 1, 1] and `2_bias` [D].
    """

    head: str
    output: str
    hidden: str
    initializers: dict[str, str]


@dataclass(frozen=True, slots=True)
class FoundHead:
    """What a walk found.

    Attributes:
        layers: The head.
        start: Value that it starts at, identities before it passed over.
        channels: Channels of that value.
    """

    layers: HeadLayers
    start: str
    channels: int


class Graph:
    """Who writes and who reads each value of the main graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.producers = {name: node for node in model.graph.node for name in node.output if name}
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = {value.name for value in model.graph.input}
        self.uses = Counter(name for node in nodes_in(model.graph.node) for name in node.input)
        self.uses.update(value.name for value in model.graph.output)

    def is_constant(self, name: str) -> bool:
        """Tell whether a value is an initializer or a constant."""
        return name in self.initializers or (name in self.producers and self.producers[name].op_type == "Constant")

    def through_identity(self, name: str) -> str:
        """Return the value that the identities before a value pass on."""
        while (node := self.producers.get(name)) is not None and node.op_type == "Identity":
            name = str(node.input[0])
        return name


def walk_head(graph: Graph, head: str, output: str, *, activated: bool) -> FoundHead:
    """Walk back from the value that a head gives.

    Args:
        graph: The network's main graph.
        head: Name of the head.
        output: The value; an inner one will do.
        activated: Pass over what follows the last convolution.

    Raises:
        HeadFormError: The head is not conv-ReLU-conv, its parameters are shared, not initializers, quantised or not
            float32, or a bias is missing.
    """
    return _Walk(graph, head, activated).found(output)


def heads_among(graph: Graph, outputs: Mapping[str, str]) -> dict[str, FoundHead]:
    """Return the heads that are of the form that training knows, activated by the network or not.

    Args:
        graph: The network's main graph.
        outputs: Value that each head gives, by head.
    """
    found = {head: _found_or_none(graph, head, output) for head, output in outputs.items()}
    return {head: entry for head, entry in found.items() if entry is not None}


def _found_or_none(graph: Graph, head: str, output: str) -> FoundHead | None:
    try:
        return walk_head(graph, head, output, activated=True)
    except HeadFormError:
        return None


@dataclass(frozen=True, slots=True)
class _Walk:
    graph: Graph
    head: str
    activated: bool

    def found(self, output: str) -> FoundHead:
        last = self.convolution(self.raw(output) if self.activated else output, kernel=1, place="last")
        relu = self.node(last.input[0], "Relu", place="middle")
        first = self.convolution(relu.input[0], kernel=3, place="first")
        names = [name for node in (first, last) for name in (self.parameter(node, 1), self.parameter(node, 2))]
        width, channels = self.graph.initializers[names[0]].dims[:2]
        layers = HeadLayers(self.head, last.output[0], relu.output[0], dict(zip(PARAMETERS, names, strict=True)))
        if width != self.graph.initializers[names[2]].dims[1]:
            raise HeadFormError(
                f"head '{self.head}': its convolutions do not fit: {width} channels between them",
                "export the network again",
            )
        return FoundHead(layers, self.graph.through_identity(first.input[0]), channels)

    def raw(self, value: str) -> str:
        """Return what is before the activation: a chain of operators that have one input beside constants."""
        node = self.graph.producers.get(value)
        while node is not None and node.op_type in ACTIVATIONS:
            moving = [name for name in node.input if name and not self.graph.is_constant(name)]
            if len(moving) != 1:
                break
            value = moving[0]
            node = self.graph.producers.get(value)
        return value

    def node(self, value: str, op: str, *, place: str) -> onnx.NodeProto:
        """Return the node that computes a value, which has to be an `op`."""
        value = self.graph.through_identity(value)
        node: onnx.NodeProto | None = self.graph.producers.get(value)
        if node is not None and node.op_type == op and node.domain in ("", "ai.onnx"):
            return node
        wanted = f"head '{self.head}': expected conv 3x3, ReLU, conv 1x1, with {op} as its {place} operator"
        if node is None:
            what = "an input of the network" if value in self.graph.inputs else "no operator"
            raise HeadFormError(
                f"{wanted}, got '{value}', {what}", f"name the head's output with --map {self.head}=OUTPUT"
            )
        got = f"{wanted}, got {title(node)}"
        if node.op_type in QUANTISERS:
            what = "the map there is quantised" if node.op_type in MAP_QUANTISERS else "its weights are quantised"
            raise HeadFormError(got, f"{what}: tune the float network, then quantise it again")
        if place == "last" and node.op_type in ACTIVATIONS and not self.activated:
            raise HeadFormError(
                got,
                f'the network applies an activation: if it is {self.head}\'s own, set activation.{self.head} = "applied" in the recipe and export the bundle again; else export the network without it',
            )
        raise HeadFormError(got)

    def convolution(self, value: str, *, kernel: int, place: str) -> onnx.NodeProto:
        """Return the convolution that computes a value, of that kernel, stride 1, as wide as its input."""
        node = self.node(value, "Conv", place=place)
        weight = self.graph.initializers[self.parameter(node, 1)]
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        same = (
            given.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER")
            or list(given.get("pads", [0, 0, 0, 0])) == [kernel // 2] * 4
        )
        plain = (
            all(set(given.get(name, [1])) == {1} for name in ("strides", "dilations")) and given.get("group", 1) == 1
        )
        if list(weight.dims[2:]) != [kernel, kernel] or not (same and plain):
            raise HeadFormError(
                f"head '{self.head}': expected its {place} operator to be a {kernel}x{kernel} convolution of stride 1 that keeps the map's size, got {title(node)} with weights {list(weight.dims)}"
            )
        return node

    def parameter(self, node: onnx.NodeProto, position: int) -> str:
        """Return the initializer that a convolution reads as weights (1) or bias (2)."""
        what = {1: "weights", 2: "bias"}[position]
        where = f"head '{self.head}': {title(node)}"
        if len(node.input) <= position or not node.input[position]:
            raise HeadFormError(
                f"{where}: expected a {what}, got none", "give the convolution a bias (zeros) and export again"
            )
        name = str(node.input[position])
        source = self.graph.producers.get(name)
        shared = self.graph.through_identity(name)
        if source is not None and shared not in self.graph.initializers:
            raise self.not_an_initializer(f"{where}: expected", what, name, source)
        if shared not in self.graph.initializers:
            raise HeadFormError(
                f"{where}: expected its {what} '{name}' among the initializers, got an input of the network or nothing",
                "export the network with its weights inside",
            )
        if shared != name or self.graph.uses[name] > 1:
            raise HeadFormError(f"{where}: its {what} {serves_many(shared, self.graph)}", SEPARATE)
        kind = self.graph.initializers[name].data_type
        if kind != TensorProto.FLOAT:
            raise HeadFormError(f"{where}: expected float32 {what}, got {TensorProto.DataType.Name(kind)}", WIDEN)
        return name

    def not_an_initializer(self, expected: str, what: str, name: str, source: onnx.NodeProto) -> HeadFormError:
        """Return what is said of a parameter that a node computes."""
        if source.op_type in QUANTISERS:
            return HeadFormError(
                f"{expected} float32 {what}, got '{name}' from {title(source)}",
                "its weights are quantised: tune the float network, then quantise it again",
            )
        tensor = self.graph.initializers.get(self.graph.through_identity(source.input[0])) if source.input else None
        if source.op_type == "Cast" and tensor is not None and tensor.data_type in HALVES:
            kind = TensorProto.DataType.Name(tensor.data_type)
            return HeadFormError(
                f"{expected} float32 {what}, got {kind} '{tensor.name}' through {title(source)}", WIDEN
            )
        return HeadFormError(
            f"{expected} its {what} '{name}' among the initializers, got it frozen into {title(source)}",
            "export again with the parameters as initializers, without folding constants",
        )


def serves_many(name: str, graph: Graph) -> str:
    """Return what is wrong with a parameter that other nodes read as well."""
    return f"'{name}' serve {max(graph.uses[name], 2)} places of the network, so that tuning the head would change the others"


def title(node: onnx.NodeProto) -> str:
    """Return what messages call a node."""
    domain = f"{node.domain}::" if node.domain else ""
    return f"node '{node.name or node.output[0]}' ({domain}{node.op_type})"
