"""`lossrt::GatherFeat` as an ONNX function of standard operators, and the translation that puts it into a graph.

One node, one function: every runtime that inlines local functions runs the file as it is, and a plugin of the same name
may take the node over where one exists. Two bodies give bit-identical results.
"""

__all__ = ["BODIES", "DOMAIN", "NAME", "gather_function", "gather_op", "registered"]

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import onnx
from onnx import helper
from onnxscript import values

DOMAIN = "lossrt"
NAME = "GatherFeat"
_FLOATS = ["tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(double)"]


@contextmanager
def registered(schema: onnx.defs.OpSchema) -> Iterator[values.Op]:
    """Yield an operator of ours for the exporter to emit.

    The exporter's type inference asks ONNX for the operator's schema, so it is registered for the time being. Left
    there, it would hide the local function from ONNX's own shape inference.
    """
    onnx.defs.register_schema(schema)
    try:
        yield values.Op(values.Opset(schema.domain, schema.since_version), schema.name, schema)
    finally:
        onnx.defs.deregister_schema(schema.name, schema.since_version, schema.domain)


@contextmanager
def gather_op() -> Iterator[values.Op]:
    """Yield the operator that the exporter emits for `torch.ops.lossrt.gather_feat`."""
    formal = onnx.defs.OpSchema.FormalParameter
    schema = onnx.defs.OpSchema(
        NAME,
        DOMAIN,
        1,
        inputs=[formal("feat", "T"), formal("ind", "tensor(int64)")],
        outputs=[formal("gathered", "T")],
        type_constraints=[("T", _FLOATS, "Type of the map.")],
    )
    with registered(schema) as operator:
        yield operator


def gather_function(body: str, *, opset: int) -> onnx.FunctionProto:
    """Return the function `lossrt::GatherFeat`: feat [B, D, H, W], ind [B, M] → gathered [B, M, D].

    Args:
        body: `elements` (GatherElements on B×D×HW) or `flat` (Gather on the flat map).
        opset: ONNX opset of the model that it is attached to.
    """
    return helper.make_function(
        DOMAIN, NAME, ["feat", "ind"], ["gathered"], BODIES[body](), [helper.make_opsetid("", opset)]
    )


def _elements() -> list[onnx.NodeProto]:
    """Keep the map in place: only the index is expanded, only the small result is transposed."""
    node = helper.make_node
    return [
        node("Constant", [], ["one"], value_ints=[1]),
        node("Constant", [], ["flat_shape"], value_ints=[0, 0, -1]),
        node("Reshape", ["feat", "flat_shape"], ["flat"]),
        node("Shape", ["feat"], ["channels"], start=1, end=2),
        node("Concat", ["one", "channels", "one"], ["index_shape"], axis=0),
        node("Unsqueeze", ["ind", "one"], ["ind_row"]),
        node("Expand", ["ind_row", "index_shape"], ["index"]),
        node("GatherElements", ["flat", "index"], ["rows"], axis=2),
        node("Transpose", ["rows"], ["gathered"], perm=[0, 2, 1]),
    ]


def _flat() -> list[onnx.NodeProto]:
    """Index (b·D + d)·HW + ind into the flat map."""
    node = helper.make_node
    return [
        node("Constant", [], ["zero"], value_int=0),
        node("Constant", [], ["step"], value_int=1),
        node("Constant", [], ["all"], value_ints=[-1]),
        node("Constant", [], ["step_1"], value_ints=[1]),
        node("Constant", [], ["last"], value_ints=[2]),
        node("Constant", [], ["map_of"], value_ints=[-1, 1]),
        node("Constant", [], ["plane_of"], value_ints=[0, 0, -1]),
        node("Shape", ["feat"], ["batch_1"], start=0, end=1),
        node("Shape", ["feat"], ["channels_1"], start=1, end=2),
        node("Reshape", ["feat", "plane_of"], ["planes"]),
        node("Shape", ["planes"], ["pixels_1"], start=2, end=3),
        node("Squeeze", ["batch_1"], ["batch"]),
        node("Squeeze", ["channels_1"], ["channels"]),
        node("Range", ["zero", "batch", "step"], ["b"]),
        node("Range", ["zero", "channels", "step"], ["d"]),
        node("Reshape", ["b", "map_of"], ["b_column"]),
        node("Mul", ["b_column", "channels_1"], ["first_channel"]),
        node("Add", ["first_channel", "d"], ["plane"]),
        node("Mul", ["plane", "pixels_1"], ["offset"]),
        node("Concat", ["batch_1", "step_1", "channels_1"], ["offset_shape"], axis=0),
        node("Reshape", ["offset", "offset_shape"], ["offset_row"]),
        node("Unsqueeze", ["ind", "last"], ["ind_column"]),
        node("Add", ["ind_column", "offset_row"], ["index"]),
        node("Reshape", ["feat", "all"], ["flat"]),
        node("Gather", ["flat", "index"], ["gathered"], axis=0),
    ]


BODIES: dict[str, Callable[[], list[onnx.NodeProto]]] = {"elements": _elements, "flat": _flat}
