"""Is it a graph at all? Every value has one source, and every node comes after its inputs."""

__all__ = ["check_structure"]

import graphlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import onnx

from lossrt.errors import InputError

Key = tuple[str, str]


def check_structure(proto: onnx.ModelProto, where: str) -> None:
    """Check the main graph, every subgraph and every local function.

    Args:
        proto: The model.
        where: What messages call it.

    Raises:
        InputError: A graph is cyclic or unsorted, a value has no source or two, or local functions call each other in a circle.
    """
    _check_functions(proto, where)
    for function in proto.functions:
        _check_nodes(function.node, set(function.input), f"{where}: function '{function.name}'")
    _check_graph(proto.graph, frozenset(), where)


def _check_graph(graph: onnx.GraphProto, outer: AbstractSet[str], where: str) -> None:
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    known |= {sparse.values.name for sparse in graph.sparse_initializer}
    made = _check_nodes(graph.node, known | outer, where, own=known)
    for output in graph.output:
        if output.name not in made | known | outer:
            raise InputError(f"{where}: output '{output.name}': no node produces it; export the model again")


def _check_nodes(
    nodes: Sequence[onnx.NodeProto], known: AbstractSet[str], where: str, *, own: AbstractSet[str] = frozenset()
) -> set[str]:
    """Check one list of nodes; return the values that they produce."""
    made: set[str] = set()
    every = {name for node in nodes for name in node.output if name}
    for node in nodes:
        for name in node.input:
            if name and name not in known and name not in made:
                raise InputError(f"{where}: {_order_problem(nodes, node, name, every)}")
        for graph in _subgraphs(node):
            _check_graph(graph, known | made, f"{where}: body of {_named(node)}")
        for name in node.output:
            if name and (name in made or name in own):
                raise InputError(f"{where}: value '{name}': produced twice, by {_named(node)} as well; export it again")
            made.add(name)
    return made


def _order_problem(nodes: Sequence[onnx.NodeProto], node: onnx.NodeProto, name: str, every: AbstractSet[str]) -> str:
    if name not in every:
        return f"{_named(node)}: nothing produces its input '{name}'; export the model again"
    if _is_cyclic(nodes):
        return f"{_named(node)}: its input '{name}' depends on its own output: the graph is cyclic; export it again"
    return (
        f"{_named(node)}: its input '{name}' is produced later: the graph is not sorted; sort it, for example with "
        "onnx_graphsurgeon's toposort"
    )


def _is_cyclic(nodes: Sequence[onnx.NodeProto]) -> bool:
    makers = {name: number for number, node in enumerate(nodes) for name in node.output if name}
    needs = [{makers[name] for name in _reads(node) if name in makers} for node in nodes]
    return _has_circle(dict(enumerate(needs)))


def _reads(node: onnx.NodeProto) -> Iterable[str]:
    yield from node.input
    for graph in _subgraphs(node):
        for inner in graph.node:
            yield from _reads(inner)


def _check_functions(proto: onnx.ModelProto, where: str) -> None:
    bodies: dict[Key, list[Key]] = {
        (function.domain, function.name): [key for node in function.node for key in _calls(node)]
        for function in proto.functions
    }
    if _has_circle(bodies):
        raise InputError(f"{where}: its local functions call each other in a circle; export the model again")


def _calls(node: onnx.NodeProto) -> Iterable[Key]:
    yield node.domain, node.op_type
    for graph in _subgraphs(node):
        for inner in graph.node:
            yield from _calls(inner)


def _has_circle(needs: Mapping[Any, Iterable[Any]]) -> bool:
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError:
        return True
    return False


def _subgraphs(node: onnx.NodeProto) -> Iterable[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _named(node: onnx.NodeProto) -> str:
    name = node.name or next((output for output in node.output if output), "")
    return f"node '{name}' ({node.op_type})"
