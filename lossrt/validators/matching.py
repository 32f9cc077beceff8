"""Which value of one graph is which of another: by name where names agree, else by how it is computed."""

__all__ = ["Pair", "matched_values"]

import hashlib
from dataclasses import dataclass

import onnx
from onnx import numpy_helper


@dataclass(frozen=True, slots=True)
class Pair:
    """One value in both graphs.

    Attributes:
        theirs: Its name in the other graph.
        ours: Its name in ours.
        by: `name` or `structure`.
    """

    theirs: str
    ours: str
    by: str


def matched_values(theirs: onnx.ModelProto, ours: onnx.ModelProto) -> list[Pair]:
    """Pair the values that nodes of both graphs compute, in the order of their nodes.

    A value is paired with ours of the same name and operator. A value without one is paired with ours that is computed in
    the same way from the same inputs and constants: renamed exports agree in that, and so does a part of a graph that was
    built by hand.

    Args:
        theirs: The other graph, without local functions.
        ours: Ours, without local functions.
    """
    operators = {name: node.op_type for node in ours.graph.node for name in node.output}
    keys: dict[str, str] = {}
    for name, key in _keys(ours).items():
        keys.setdefault(key, name)
    own_outputs = {value.name for value in ours.graph.output}
    structures = _keys(theirs)
    pairs = []
    for node in theirs.graph.node:
        for name in filter(None, node.output):
            if name in operators and (operators[name] == node.op_type or name in own_outputs):
                pairs.append(Pair(name, name, "name"))
            elif structures[name] in keys:
                pairs.append(Pair(name, keys[structures[name]], "structure"))
            elif name in operators:
                # The same place with another operator: what a changed node looks like.
                pairs.append(Pair(name, name, "name"))
    return pairs


def _keys(model: onnx.ModelProto) -> dict[str, str]:
    """Return a digest of how each value is computed: operators, attributes, constants, and names of graph inputs."""
    keys = {value.name: f"input {value.name}" for value in model.graph.input}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        keys[tensor.name] = f"constant {array.dtype} {array.shape} {digest}"
    for node in model.graph.node:
        attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute)
        operands = [keys.get(name, f"outer {name}") for name in node.input]
        text = repr((node.domain, node.op_type, attributes, operands))
        digest = hashlib.sha256(text.encode()).hexdigest()
        for position, name in enumerate(node.output):
            keys[name] = f"{digest}:{position}"
    return keys
