"""Replace a scatter that adds by a sum of the duplicates and a plain scatter, for parsers without the first.

Every update becomes the sum of all updates that go to its place, and of what was there: duplicates then write the same
value, so that the order of writes does not matter. The sum is Where and ReduceSum over an M×M table of equal indices, not a
matrix product, which a GPU may round to TF32.

Requires: opset 16 or later, where scatters can add, no local function that scatters, and shapes that can be inferred: the
rank of ScatterElements' indices; for ScatterND the number of indexed axes, and their sizes but the first; what follows them.
The table stays below 2^26 elements. Ensures: no scatter that fulfils this has `reduction`; others are left as they are.
Results are equal up to the order of summation: bit-identical for integers, and where no place gets two updates.
"""

__all__ = ["dedupe_scatters"]

import math
from collections.abc import Iterator

import onnx
from onnx import shape_inference

from lossrt.passes.node_builder import NodeBuilder
from lossrt.passes.walk import node_lists, used_names

_LARGEST_TABLE = 2**26


def dedupe_scatters(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every scatter-add rewritten that can be; the model itself where none can.

    Args:
        model: The model; it is left as it is.
    """
    if not any(_is_reducing(node) for nodes in node_lists(model) for node in nodes):
        return model
    copy = shape_inference.infer_shapes(model, data_prop=True)
    builder = NodeBuilder(copy, used_names(copy))
    changed = False
    # From the inside out: rebuilding an outer list detaches the lists inside it.
    for nodes in reversed(list(node_lists(copy))):
        before = list(nodes)
        after = [new for node in before for new in _rewritten(node, builder)]
        if len(after) != len(before) or any(new is not old for new, old in zip(after, before, strict=True)):
            changed = True
            del nodes[:]
            nodes.extend(after)
    return copy if changed else model


def _is_reducing(node: onnx.NodeProto) -> bool:
    scatter = node.op_type in ("ScatterElements", "ScatterND") and not node.domain
    return scatter and any(entry.name == "reduction" for entry in node.attribute)


def _rewritten(node: onnx.NodeProto, builder: NodeBuilder) -> Iterator[onnx.NodeProto]:
    reduction = next((entry.s for entry in node.attribute if entry.name == "reduction"), b"none")
    total = ""
    if _is_reducing(node) and reduction == b"add":
        builder.begin(node.name or node.output[0])
        total = _elements_total(node, builder) if node.op_type == "ScatterElements" else _nd_total(node, builder)
        yield from builder.nodes
    if total or (_is_reducing(node) and reduction == b"none"):
        plain = onnx.NodeProto()
        plain.CopyFrom(node)
        del plain.attribute[:]
        plain.attribute.extend(entry for entry in node.attribute if entry.name != "reduction")
        plain.input[2] = total or node.input[2]
        node = plain
    yield node


def _elements_total(node: onnx.NodeProto, builder: NodeBuilder) -> str:
    """Return the values that a plain ScatterElements is to write; nothing where the shapes do not tell enough."""
    data, indices, updates = node.input
    shape, data_shape = builder.shape(indices), builder.shape(data)
    if shape is None or data_shape is None or not shape:
        return ""
    axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 0) % len(shape)
    if math.prod(shape) * shape[axis] > _LARGEST_TABLE:
        return ""
    rank = len(shape)
    # [..., M, ..., 1] against [..., 1, ..., M]: the axis of the sum comes last.
    order = [*range(axis + 1), *range(axis + 2, rank + 1), axis + 1]

    def aside(name: str) -> str:
        row = builder.add("Unsqueeze", name, builder.integers([axis]))
        return row if order == sorted(order) else builder.add("Transpose", row, perm=order)

    index = builder.non_negative(indices, data=data, axis=axis, like=indices)
    equal = builder.add("Equal", builder.add("Unsqueeze", index, builder.integers([rank])), aside(index))
    picked = builder.add("Where", equal, aside(updates), builder.zero(updates))
    sums = builder.add("ReduceSum", picked, builder.integers([rank]), keepdims=0)
    return builder.add("Add", builder.add("GatherElements", data, index, axis=axis), sums)


def _nd_total(node: onnx.NodeProto, builder: NodeBuilder) -> str:
    """Return the values that a plain ScatterND is to write; nothing where the shapes do not tell enough."""
    data, indices, updates = node.input
    shape, data_shape = builder.shape(indices), builder.shape(data)
    if not shape or data_shape is None or shape[-1] < 1:
        return ""
    depth = shape[-1]
    inner, rest = data_shape[1:depth], data_shape[depth:]
    if not all(inner) or not all(rest):
        return ""
    places, width = math.prod(shape[:-1]), math.prod(rest)
    if places * places * width > _LARGEST_TABLE:
        return ""
    flat = builder.add("Reshape", indices, builder.integers([-1, depth]))
    place = ""
    for axis in range(depth):
        column = builder.add("Gather", flat, builder.integer(axis), axis=1)
        column = builder.non_negative(column, data=data, axis=axis, like=indices)
        stride = math.prod(data_shape[axis + 1 : depth])
        scaled = column if stride == 1 else builder.add("Mul", column, builder.integer(stride))
        place = builder.add("Add", place, scaled) if place else scaled
    wide = builder.integers([-1, width])
    rows = builder.add("Reshape", updates, wide)
    equal = builder.add(
        "Equal",
        builder.add("Unsqueeze", place, builder.integers([1])),
        builder.add("Unsqueeze", place, builder.integers([0])),
    )
    picked = builder.add(
        "Where",
        builder.add("Unsqueeze", equal, builder.integers([2])),
        builder.add("Unsqueeze", rows, builder.integers([0])),
        builder.zero(updates),
    )
    sums = builder.add("ReduceSum", picked, builder.integers([1]), keepdims=0)
    base = builder.add("Reshape", builder.add("GatherND", data, flat), wide)
    return builder.add("Reshape", builder.add("Add", base, sums), builder.add("Shape", updates))
