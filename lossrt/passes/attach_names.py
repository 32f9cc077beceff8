"""Names of two graphs that become one.

Requires: nothing. Ensures: every value and node of the renamed graph is called by its new name, in its inner graphs as well;
operators, attributes and constants are untouched.
"""

__all__ = ["free_name", "names_in", "renamed"]

from collections.abc import Mapping

import onnx

from lossrt.passes.walk import node_lists, used_names


def names_in(model: onnx.ModelProto) -> set[str]:
    """Return every name that a model uses: of values and of nodes, in its inner graphs as well."""
    nodes = {node.name for nodes in node_lists(model) for node in nodes}
    graph = model.graph
    declared = {entry.name for entry in (*graph.input, *graph.output, *graph.value_info)}
    sparse = {tensor.values.name for tensor in graph.sparse_initializer}
    return (used_names(model) | nodes | declared | sparse) - {""}


def free_name(name: str, taken: set[str]) -> str:
    """Return the name, or the name with a number, that is not taken; it is, afterwards."""
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def renamed(model: onnx.ModelProto, names: Mapping[str, str], *, prefix: str) -> onnx.ModelProto:
    """Return the model with the values of `names` called so, and `prefix` before every other name.

    Args:
        model: The model; its local functions keep their names, which are their own world.
        names: New name by old, of values of the main graph.
        prefix: Goes before values that `names` lacks, and before nodes.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _rename(copy.graph, names, prefix)
    return copy


def _rename(graph: onnx.GraphProto, names: Mapping[str, str], prefix: str) -> None:
    def new(name: str) -> str:
        return names.get(name, f"{prefix}{name}") if name else ""

    for entry in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        entry.name = new(entry.name)
    for node in graph.node:
        node.name = f"{prefix}{node.name}" if node.name else ""
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, names, prefix)
