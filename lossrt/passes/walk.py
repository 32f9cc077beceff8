"""Walk through a model: every graph, and the graphs inside its nodes (the branches of If, the bodies of loops)."""

__all__ = ["node_lists", "nodes_in", "tensors_in", "used_names"]

from collections.abc import Iterable, Iterator, MutableSequence

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


def node_lists(model: onnx.ModelProto) -> Iterator[MutableSequence[onnx.NodeProto]]:
    """Yield the list of nodes of the main graph, of every graph inside it, and of every local function, to be changed.

    Args:
        model: The model.
    """
    yield from _lists_in(model.graph.node)
    for function in model.functions:
        yield from _lists_in(function.node)


def tensors_in(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor that a model holds: initializers of all its graphs, sparse ones and constants of its nodes.

    Args:
        model: The model.
    """
    yield from _initializers(model.graph)
    for nodes in node_lists(model):
        for node in nodes:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                for graph in (attribute.g, *attribute.graphs):
                    yield from _initializers(graph)


def used_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of all values of a model, so that a new one can differ.

    Args:
        model: The model.
    """
    nodes = [node for nodes in node_lists(model) for node in nodes]
    names = {name for node in nodes for name in (*node.input, *node.output)}
    return names | {value.name for value in (*model.graph.input, *model.graph.initializer)}


def _lists_in(nodes: MutableSequence[onnx.NodeProto]) -> Iterator[MutableSequence[onnx.NodeProto]]:
    yield nodes
    for node in nodes:
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                if graph.node:
                    yield from _lists_in(graph.node)


def _initializers(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
