"""Write nodes one after the other, with names that nothing else has."""

__all__ = ["NodeBuilder"]

from typing import Any

import onnx
from onnx import TensorProto, helper

from lossrt.passes.walk import nodes_in


class NodeBuilder:
    """Nodes that replace one node.

    Args:
        model: The model, its shapes inferred; it is only read.
        taken: Names that new values must not have; names made here are added.

    Attributes:
        nodes: The nodes written since `begin`.
    """

    def __init__(self, model: onnx.ModelProto, taken: set[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._taken, self._stem = taken, ""
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._types: dict[str, int] = {}
        graphs = [model.graph, *(inner for node in nodes_in(model.graph.node) for inner in _graphs(node))]
        for graph in graphs:
            for tensor in graph.initializer:
                self._shapes[tensor.name], self._types[tensor.name] = tuple(tensor.dims), tensor.data_type
            for value in (*graph.input, *graph.output, *graph.value_info):
                kind = value.type.tensor_type
                self._types[value.name] = kind.elem_type
                if kind.HasField("shape"):
                    self._shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)

    def begin(self, stem: str) -> None:
        """Start with the next node to replace; `stem` begins the new names."""
        self.nodes, self._stem = [], stem

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return a value's shape, 0 for an open dimension; None where even the rank is unknown."""
        return self._shapes.get(name)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Write a node of one output and return the output's name."""
        name = f"{self._stem}:{op.lower()}"
        number = 0
        while name in self._taken:
            number += 1
            name = f"{self._stem}:{op.lower()}_{number}"
        self._taken.add(name)
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def integers(self, values: list[int]) -> str:
        """Write an int64 vector."""
        return self.add("Constant", value=helper.make_tensor("", TensorProto.INT64, [len(values)], values))

    def integer(self, value: int, *, kind: int = TensorProto.INT64) -> str:
        """Write an integer scalar."""
        return self.add("Constant", value=helper.make_tensor("", kind, [], [value]))

    def zero(self, like: str) -> str:
        """Write a scalar 0 of a value's type."""
        return self.add("Constant", value=helper.make_tensor("", self._types.get(like, TensorProto.FLOAT), [], [0]))

    def non_negative(self, index: str, *, data: str, axis: int, like: str) -> str:
        """Write an index into an axis of `data` that counts from the start where it counted from the end.

        Args:
            index: The index.
            data: What it is an index of.
            axis: The axis.
            like: A value of the index's type.
        """
        kind = self._types.get(like) or TensorProto.INT64
        known = (self.shape(data) or ())[axis : axis + 1]
        if known and known[0]:
            size = self.integer(known[0], kind=kind)
        else:
            size = self.add("Gather", self.add("Shape", data), self.integer(axis), axis=0)
            size = size if kind == TensorProto.INT64 else self.add("Cast", size, to=kind)
        negative = self.add("Less", index, self.integer(0, kind=kind))
        return self.add("Where", negative, self.add("Add", index, size), index)


def _graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [graph for entry in node.attribute for graph in (entry.g, *entry.graphs)]
