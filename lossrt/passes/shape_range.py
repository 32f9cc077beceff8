"""Take the whole shape and cut it, for parsers that ignore the `start` and `end` of Shape (TensorRT before 10).

Requires: nothing; local functions and subgraphs are rewritten as well. Ensures: no Shape has `start` or `end`, and results
are bit-identical: Slice counts from the end, clamps and cuts as those attributes do.
"""

__all__ = ["expand_shape_ranges"]

from collections.abc import Iterator

import onnx
from onnx import helper

from lossrt.passes.walk import node_lists, used_names

# As far as int32 goes: the same parsers narrow int64.
_TO_THE_END = 2**31 - 1


def expand_shape_ranges(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every ranged Shape written as Shape and Slice; the model itself where there is none.

    Args:
        model: The model; it is left as it is.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    taken = used_names(copy)
    changed = False
    # From the inside out: rebuilding an outer list detaches the lists inside it.
    for nodes in reversed(list(node_lists(copy))):
        if any(_is_ranged(node) for node in nodes):
            changed = True
            rewritten = [
                new for node in nodes for new in (_whole_and_slice(node, taken) if _is_ranged(node) else [node])
            ]
            del nodes[:]
            nodes.extend(rewritten)
    return copy if changed else model


def _is_ranged(node: onnx.NodeProto) -> bool:
    return node.op_type == "Shape" and not node.domain and bool(node.attribute)


def _whole_and_slice(node: onnx.NodeProto, taken: set[str]) -> Iterator[onnx.NodeProto]:
    given = {entry.name: entry.i for entry in node.attribute}
    name = node.output[0]
    cut = {
        "starts": given.get("start", 0),
        "ends": min(given.get("end", _TO_THE_END), _TO_THE_END),
        "axes": 0,
    }
    whole, *positions = (_fresh(f"{name}:{part}", taken) for part in ("whole", *cut))
    yield helper.make_node("Shape", [node.input[0]], [whole], name=node.name)
    for position, value in zip(positions, cut.values(), strict=True):
        yield helper.make_node("Constant", [], [position], value_ints=[value])
    yield helper.make_node("Slice", [whole, *positions], [name], name=f"{node.name}:range" if node.name else "")


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
