"""Keep only the part of a graph that some of its values need.

Requires: values of the main graph (inline local functions first). Ensures: the named values are the only outputs, every
node left is needed for one of them, and no declared inner shape is left (they may be wrong in a changed graph).
"""

__all__ = ["extract"]

from collections.abc import Iterable, Iterator

import onnx


def extract(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Return the part of a model that computes the named values; its inputs stay, needed or not.

    Args:
        model: The model.
        names: Values that become its outputs, in this order.
    """
    wanted = list(dict.fromkeys(names))
    needed = set(wanted)
    kept = []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(_reads(node))
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.node[:]
    part.graph.node.extend(reversed(kept))
    del part.graph.value_info[:]
    del part.graph.output[:]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    return part


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, through the bodies of control flow as well."""
    yield from node.input
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                yield from _reads(inner)
