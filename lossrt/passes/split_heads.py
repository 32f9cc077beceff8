"""Find the heads of a network in its graph: convolution 3x3, ReLU, convolution 1x1, all from one feature map.

Source of the form: CenterTrack `src/lib/model/networks/base_model.py` with one `head_conv`. Nothing is executed, so
what lies before the feature map may hold operators that nothing here knows.
"""

__all__ = ["HeadLayers", "NetworkHeads", "find_heads", "named_outputs", "parameter_name"]

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import onnx
from onnx import TensorProto, helper

from lossrt.errors import InputError, nearest
from lossrt.passes.walk import nodes_in
from lossrt.recipe import HEADS, prediction_name

PARAMETERS = ("0_weight", "0_bias", "2_weight", "2_bias")
"""A head's parameters, as CenterTrack's checkpoints number the layers, with `_` for the dot."""
ACTIVATIONS = frozenset({"Sigmoid", "Clip", "Min", "Max", "Add", "Sub", "Mul", "Div", "Reciprocal", "Cast", "Identity"})
"""What an activation consists of: `hm` is a sigmoid with its ends cut off, `dep` is 1 / (sigmoid + 1e-6) - 1."""
QUANTISERS = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"})


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
class NetworkHeads:
    """The heads of a network and the feature map that they share.

    Attributes:
        features: Name of the feature map, [B, F, H, W].
        channels: F.
        heads: The heads, in the order asked for.
    """

    features: str
    channels: int
    heads: tuple[HeadLayers, ...]

    def parameters(self, scope: Literal["full", "last"] = "full") -> dict[str, str]:
        """Return the network's name of each parameter by its wire name, such as `hm_0_weight`; `last` has the 1x1 ones."""
        wanted = PARAMETERS if scope == "full" else PARAMETERS[2:]
        return {
            parameter_name(layers.head, part): layers.initializers[part] for layers in self.heads for part in wanted
        }


def parameter_name(head: str, part: str) -> str:
    """Return a parameter's name on the wire without its prefix: `hm_0_weight`."""
    return f"{head}_{part}"


def named_outputs(model: onnx.ModelProto, mapping: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the outputs that are heads by their names, where no recipe says which there are.

    Args:
        model: The network.
        mapping: Output by head, as the flag `--map hm=OUT1` gives it; other outputs count when they are called as a
            head that CenterTrack or a relative has, with or without `pred_`.

    Raises:
        InputError: A named output is none of the network's.
    """
    mapping = mapping or {}
    outputs = [value.name for value in model.graph.output]
    for head, name in mapping.items():
        if name not in outputs:
            raise InputError(f"--map {head}={name}: the network has no such output; {nearest(name, outputs)}")
    usual = {name: head for head in HEADS for name in (head, prediction_name(head))}
    found = {usual[name]: name for name in outputs if name in usual and name not in mapping.values()}
    return found | dict(mapping)


def find_heads(
    model: onnx.ModelProto, outputs: Mapping[str, str], *, at: str | None = None, activated: Collection[str] = ()
) -> NetworkHeads:
    """Walk back from the outputs to the feature map.

    Args:
        model: The network; the values of its initializers are not looked at.
        outputs: Value that each head gives, by head; an inner value will do.
        at: The feature map; None takes what all heads read.
        activated: Heads that the network activates itself: what follows their last convolution is passed over.

    Raises:
        InputError: A head is not conv-ReLU-conv, its parameters are shared, not initializers, quantised or not float32,
            a bias is missing, or the heads do not read one value.
    """
    if not outputs:
        raise InputError(
            f"network: expected heads among its outputs, got {', '.join(v.name for v in model.graph.output) or 'none'}; name them with --map HEAD=OUTPUT"
        )
    graph = _Graph(model)
    found = {head: _Walk(graph, head, head in activated).layers(value) for head, value in outputs.items()}
    starts = {head: start for head, (_, start, _) in found.items()}
    features = at or Counter(starts.values()).most_common(1)[0][0]
    if features not in graph.producers and features not in graph.inputs:
        raise InputError(
            f"--at '{features}': no such value in the network; {nearest(features, sorted(set(starts.values())))}"
        )
    for head, start in starts.items():
        if start != graph.through_identity(features):
            raise InputError(
                f"head '{head}': expected it to start at '{features}' as the other heads do, got '{start}'; fine-tuning needs one feature map: leave the head out of the recipe, or choose the map with --at"
            )
    channels = next(iter(found.values()))[2]
    return NetworkHeads(features, channels, tuple(layers for layers, _, _ in found.values()))


class _Graph:
    """Who writes and who reads each value of the main graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.producers = {name: node for node in model.graph.node for name in node.output if name}
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = {value.name for value in model.graph.input}
        self.uses = Counter(name for node in nodes_in(model.graph.node) for name in node.input)
        self.uses.update(value.name for value in model.graph.output)

    def is_constant(self, name: str) -> bool:
        return name in self.initializers or (name in self.producers and self.producers[name].op_type == "Constant")

    def through_identity(self, name: str) -> str:
        while (node := self.producers.get(name)) is not None and node.op_type == "Identity":
            name = str(node.input[0])
        return name


@dataclass(frozen=True, slots=True)
class _Walk:
    graph: _Graph
    head: str
    activated: bool

    def layers(self, output: str) -> tuple[HeadLayers, str, int]:
        """Return the layers, the value before them and its channels."""
        last = self.convolution(self.raw(output) if self.activated else output, kernel=1, place="last")
        relu = self.node(last.input[0], "Relu", place="middle")
        first = self.convolution(relu.input[0], kernel=3, place="first")
        names = [name for node in (first, last) for name in (self.parameter(node, 1), self.parameter(node, 2))]
        width, channels = self.graph.initializers[names[0]].dims[:2]
        layers = HeadLayers(self.head, last.output[0], relu.output[0], dict(zip(PARAMETERS, names, strict=True)))
        if width != self.graph.initializers[names[2]].dims[1]:
            raise InputError(
                f"head '{self.head}': its convolutions do not fit: {width} channels between them; export the network again"
            )
        return layers, self.graph.through_identity(first.input[0]), channels

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
            raise InputError(f"{wanted}, got '{value}', {what}; name the head's output with --map {self.head}=OUTPUT")
        got = f"{wanted}, got {_title(node)}"
        if node.op_type in QUANTISERS:
            raise InputError(f"{got}; its weights are quantised: tune the float network, then quantise it again")
        if place == "last" and node.op_type in ACTIVATIONS and not self.activated:
            raise InputError(
                f'{got}; the network applies an activation: if it is {self.head}\'s own, set activation.{self.head} = "applied" in the recipe and export the bundle again; else export the network without it'
            )
        raise InputError(
            f"{got}; fine-tuning knows this form only: leave the head out of the recipe, or train it where PyTorch is"
        )

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
            raise InputError(
                f"head '{self.head}': expected its {place} operator to be a {kernel}x{kernel} convolution of stride 1 that keeps the map's size, got {_title(node)} with weights {list(weight.dims)}; fine-tuning knows this form only: leave the head out of the recipe"
            )
        return node

    def parameter(self, node: onnx.NodeProto, position: int) -> str:
        """Return the initializer that a convolution reads as weights (1) or bias (2)."""
        what = {1: "weights", 2: "bias"}[position]
        where = f"head '{self.head}': {_title(node)}"
        if len(node.input) <= position or not node.input[position]:
            raise InputError(
                f"{where}: expected a {what}, got none; give the convolution a bias (zeros) and export again"
            )
        name = str(node.input[position])
        source = self.graph.producers.get(name)
        shared = self.graph.through_identity(name)
        if source is not None and shared not in self.graph.initializers:
            raise InputError(_not_an_initializer(where, what, name, source))
        if shared not in self.graph.initializers:
            raise InputError(
                f"{where}: expected its {what} '{name}' among the initializers, got an input of the network or nothing; export the network with its weights inside"
            )
        if shared != name or self.graph.uses[name] > 1:
            raise InputError(
                f"{where}: its {what} '{shared}' serve {max(self.graph.uses[shared], 2)} places of the network, so that tuning the head would change the others; export again without merging equal initializers"
            )
        if self.graph.initializers[name].data_type != TensorProto.FLOAT:
            kind = TensorProto.DataType.Name(self.graph.initializers[name].data_type)
            raise InputError(
                f"{where}: expected float32 {what}, got {kind}; tune the float32 network, then convert it again"
            )
        return name


def _not_an_initializer(where: str, what: str, name: str, source: onnx.NodeProto) -> str:
    if source.op_type in QUANTISERS:
        return f"{where}: expected float32 {what}, got '{name}' from {_title(source)}; its weights are quantised: tune the float network, then quantise it again"
    return f"{where}: expected its {what} '{name}' among the initializers, got it frozen into {_title(source)}; export again with the parameters as initializers, without folding constants"


def _title(node: onnx.NodeProto) -> str:
    domain = f"{node.domain}::" if node.domain else ""
    return f"node '{node.name or node.output[0]}' ({domain}{node.op_type})"
