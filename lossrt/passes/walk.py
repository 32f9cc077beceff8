"""Walk through a model: every graph, and the graphs inside its nodes (the branches of If, the bodies of loops)."""

__all__ = ["nodes_in"]

from collections.abc import Iterable, Iterator

import onnx


def nodes_in(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield every node, and after it the nodes of the graphs inside it.

    Args:
        nodes: Nodes of a graph or of a function.
    """
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from nodes_in(graph.node)
