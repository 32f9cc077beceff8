"""Cut and splice an ONNX model, in its main graph or inside one of its functions."""

__all__ = ["Edit", "Nodes", "Site", "edited", "insert_before", "sites"]

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

Nodes = list[onnx.NodeProto]
Edit = Callable[[Nodes, onnx.NodeProto], None]
"""Changes one node of a list, and the list around it, in place."""
Dims = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """One node of a model and what can be seen from it.

    Attributes:
        node: The node; not to be changed.
        name: Its name; inside a function that of the function and of its output.
        position: Its position among its siblings.
        function: Index of the function that it is in; None in the main graph.
        constants: The constants it could read, by name.
        types: Element type and dimensions of the values it could read, in the order in which they come to be.
        sources: The graph inputs that each of those values depends on; inside a function the function's inputs.
    """

    node: onnx.NodeProto
    name: str
    position: int
    function: int | None
    constants: dict[str, NDArray[Any]]
    types: dict[str, tuple[int, Dims]]
    sources: dict[str, frozenset[str]]

    def sources_of(self, names: Iterable[str]) -> frozenset[str]:
        """Return the graph inputs that any of the values depends on."""
        return frozenset().union(*(self.sources.get(name, frozenset()) for name in names))


def sites(model: onnx.ModelProto) -> Iterator[Site]:
    """Yield every node of the main graph, then of the functions."""
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found = {value.name: _type(value) for value in (*inferred.input, *inferred.value_info, *inferred.output)}
    types = {value.name: _type(value) for value in inferred.input}
    sources = {value.name: frozenset([value.name]) for value in inferred.input}
    for position, node in enumerate(model.graph.node):
        site = Site(node, node.name, position, None, known, dict(types), dict(sources))
        yield site
        types |= {name: found[name] for name in node.output if name in found}
        sources |= dict.fromkeys(node.output, site.sources_of(node.input))
    for index, function in enumerate(model.functions):
        constants = {node.output[0]: _constant_value(node) for node in function.node if node.op_type == "Constant"}
        inner = dict.fromkeys(("feat", "flat", "planes", "rows"), (TensorProto.FLOAT, ()))
        inner |= dict.fromkeys(("ind", "ind_row", "ind_column", "index"), (TensorProto.INT64, ()))
        formal = {name: frozenset(["feat" if kind[0] == TensorProto.FLOAT else "ind"]) for name, kind in inner.items()}
        for position, node in enumerate(function.node):
            yield Site(node, f"{function.name}/{node.output[0]}", position, index, constants, inner, formal)


def edited(model: onnx.ModelProto, site: Site, edit: Edit) -> onnx.ModelProto:
    """Return a copy of the model with one edit at a site."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    holder = copy.graph if site.function is None else copy.functions[site.function]
    nodes = list(holder.node)
    edit(nodes, nodes[site.position])
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del holder.node[:]
    holder.node.extend(kept)
    for output in copy.graph.output:
        # An edit may change an output's shape; the runtime would complain of the old one.
        output.type.tensor_type.ClearField("shape")
    del copy.graph.value_info[:]
    return copy


def insert_before(nodes: Nodes, node: onnx.NodeProto, op_type: str, inputs: list[str], **attributes: Any) -> str:
    """Put a new node before one and return the name of its output, which starts with `mutant_`."""
    name = f"mutant_{op_type}_{len(nodes)}"
    nodes.insert(nodes.index(node), helper.make_node(op_type, inputs, [f"{name}:0"], name=name, **attributes))
    return f"{name}:0"


def _type(value: onnx.ValueInfoProto) -> tuple[int, Dims]:
    tensor = value.type.tensor_type
    return tensor.elem_type, tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim)


def _constant_value(node: onnx.NodeProto) -> NDArray[Any]:
    return np.asarray(helper.get_attribute_value(node.attribute[0]), dtype=np.int64)
