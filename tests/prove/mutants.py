"""Mutants: every graph with one thing wrong, enumerated over its nodes.

A mutant that no golden case tells from the original is a hole in the proof, unless it is equivalent:
`tests.prove.equivalents` lists those, each with the reason.
"""

__all__ = ["Mutant", "mutants"]

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from tests.prove.faults import FAULTS
from tests.prove.surgery import edited, sites


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong graph.

    Attributes:
        graph: The graph that it was made from.
        kind: What is wrong: a key of `FAULTS`, or `outputs`.
        op_type: Operator of the node that is wrong, before it was changed.
        node: Name of that node.
        what: The change, for people.
        sources: The graph inputs that the values which are read wrongly depend on; where the node itself is wrong, all of
            its values.
        model: The mutant.
    """

    graph: str
    kind: str
    op_type: str
    node: str
    what: str
    sources: frozenset[str]
    model: onnx.ModelProto

    @property
    def name(self) -> str:
        """Graph, node and change."""
        return f"{self.graph}/{self.node} ({self.op_type}) {self.kind}: {self.what}"


def mutants(model: onnx.ModelProto) -> Iterator[Mutant]:
    """Yield every mutant of a graph, in an order that does not change."""
    graph = model.graph.name
    for site in sites(model):
        for kind, find in FAULTS.items():
            for fault in find(site):
                sources = site.sources_of(fault.values or site.node.input)
                mutant = edited(model, site, fault.edit)
                yield Mutant(graph, kind, site.node.op_type, site.name, fault.what, sources, mutant)
    names = [output.name for output in model.graph.output]
    for first, second in itertools.pairwise(names):
        swapped = _swap_outputs(model, first, second)
        yield Mutant(graph, "outputs", "", first, f"{first} and {second} swapped", frozenset(), swapped)


def _swap_outputs(model: onnx.ModelProto, first: str, second: str) -> onnx.ModelProto:
    swapped = onnx.ModelProto()
    swapped.CopyFrom(model)
    other = {first: second, second: first}
    for node in swapped.graph.node:
        for position, name in enumerate(node.output):
            node.output[position] = other.get(name, name)
    return swapped
