"""The sum over all slots that share a pixel, for each slot, as ONNX functions of standard operators.

What `lossrt.models.shared_pixels.sum_by_pixel` computes, which says what for; one node a gather's backward pass.
`lossrt::SumByPixel` selects by a table of equal indices and sums, which a GPU's compiler makes one kernel of. A runtime that
stores the table needs B·D·S·S numbers for it, so that a head with many channels has `lossrt::SumByPixelChained` instead:
there each slot knows the next one at its pixel, and in log2(S) rounds adds what the end of its chain has collected.
Neither is a matrix product, which a GPU may round to TF32, and which carries NaN from one pixel to all.
"""

__all__ = ["CHAINED", "LARGEST_TABLE", "TABLE", "chain_function", "rounds_for", "sum_op", "table_function"]

from collections.abc import Iterator
from contextlib import contextmanager

import onnx
from onnx import helper
from onnxscript import values

from lossrt.export.gather_function import DOMAIN, registered

TABLE, CHAINED = "SumByPixel", "SumByPixelChained"
LARGEST_TABLE = 2**22
"""Numbers in the table of one image, D·S·S, up to which it is used: 16 MiB."""


@contextmanager
def sum_op() -> Iterator[values.Op]:
    """Yield the operator that the exporter emits for `torch.ops.lossrt.sum_by_pixel`."""
    formal = onnx.defs.OpSchema.FormalParameter
    schema = onnx.defs.OpSchema(
        TABLE,
        DOMAIN,
        1,
        inputs=[formal("values", "T"), formal("ind", "tensor(int64)")],
        outputs=[formal("summed", "T")],
        type_constraints=[("T", ["tensor(float)"], "Type of the values.")],
    )
    with registered(schema) as operator:
        yield operator


def table_function(*, opset: int) -> onnx.FunctionProto:
    """Return `lossrt::SumByPixel`: values [B, D, S], ind [B, S] → summed [B, D, S].

    Args:
        opset: ONNX opset of the model that it is attached to; 13 or later.
    """
    node = helper.make_node
    nodes = [
        node("Constant", [], ["one"], value_ints=[1]),
        node("Constant", [], ["two"], value_ints=[2]),
        node("Constant", [], ["last"], value_ints=[-1]),
        node("Constant", [], ["zero"], value_float=0.0),
        node("Unsqueeze", ["ind", "two"], ["ind_column"]),
        node("Unsqueeze", ["ind", "one"], ["ind_row"]),
        node("Equal", ["ind_column", "ind_row"], ["equal"]),
        node("Unsqueeze", ["equal", "one"], ["equal_every_channel"]),
        node("Unsqueeze", ["values", "two"], ["value_row"]),
        node("Where", ["equal_every_channel", "value_row", "zero"], ["picked"]),
        node("ReduceSum", ["picked", "last"], ["summed"], keepdims=0),
    ]
    return helper.make_function(DOMAIN, TABLE, ["values", "ind"], ["summed"], nodes, [helper.make_opsetid("", opset)])


def rounds_for(slots: int) -> int:
    """Return how often the chains of so many slots must double."""
    return max(slots - 1, 0).bit_length()


def chain_function(*, rounds: int, opset: int) -> onnx.FunctionProto:
    """Return `lossrt::SumByPixelChained`, of the same inputs and output.

    Args:
        rounds: How often the chains double, from `rounds_for` and the most slots; more do no harm.
        opset: ONNX opset of the model that it is attached to; 18 or later.
    """
    node = helper.make_node
    nodes = [*_constants(), *_equal_pixels(), *_chain_start()]
    total, chain = "total_0", "chain_0"
    for number in range(1, rounds + 1):
        nodes += _taken(total, chain, f"taken_{number}")
        nodes.append(node("Add", [total, f"taken_{number}"], [f"total_{number}"]))
        nodes.append(node("GatherElements", [chain, chain], [f"chain_{number}"], axis=1))
        total, chain = f"total_{number}", f"chain_{number}"
    if rounds:
        # Nothing follows the last chain.
        del nodes[-1:]
    nodes += _taken(total, "first", "summed")
    return helper.make_function(DOMAIN, CHAINED, ["values", "ind"], ["summed"], nodes, [helper.make_opsetid("", opset)])


def _constants() -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("Constant", [], ["zero"], value_int=0),
        node("Constant", [], ["step"], value_int=1),
        node("Constant", [], ["one"], value_ints=[1]),
        node("Constant", [], ["two"], value_ints=[2]),
        node("Constant", [], ["last"], value_ints=[-1]),
        node("Constant", [], ["one_more"], value_ints=[0, 0, 0, 0, 0, 1]),
        node("Shape", ["ind"], ["images"], start=0, end=1),
        node("Shape", ["ind"], ["slots_1"], start=1, end=2),
        node("Shape", ["values"], ["channels"], start=1, end=2),
        node("Squeeze", ["slots_1"], ["slots"]),
        node("Cast", ["slots"], ["end"], to=onnx.TensorProto.FLOAT),
        node("Concat", ["one", "channels", "one"], ["index_shape"], axis=0),
        node("Concat", ["images", "one"], ["tail_shape"], axis=0),
        node("Expand", ["slots_1", "tail_shape"], ["tail"]),
        node("Range", ["zero", "slots", "step"], ["numbers"]),
        # Counted in float32, whose minimum every runtime has; exact far beyond any number of slots.
        node("Cast", ["numbers"], ["place"], to=onnx.TensorProto.FLOAT),
    ]


def _equal_pixels() -> list[onnx.NodeProto]:
    """For each slot, the first slot at its pixel and the next one; S where none follows."""
    node = helper.make_node
    return [
        node("Unsqueeze", ["ind", "two"], ["ind_column"]),
        node("Unsqueeze", ["ind", "one"], ["ind_row"]),
        node("Equal", ["ind_column", "ind_row"], ["equal"]),
        node("Unsqueeze", ["place", "one"], ["place_column"]),
        node("Less", ["place_column", "place"], ["later"]),
        node("And", ["equal", "later"], ["equal_later"]),
        node("Where", ["equal", "place", "end"], ["equal_places"]),
        node("Where", ["equal_later", "place", "end"], ["later_places"]),
        node("ReduceMin", ["equal_places", "last"], ["first_place"], keepdims=0),
        node("ReduceMin", ["later_places", "last"], ["next_place"], keepdims=0),
        node("Cast", ["first_place"], ["first"], to=onnx.TensorProto.INT64),
        node("Cast", ["next_place"], ["next"], to=onnx.TensorProto.INT64),
    ]


def _chain_start() -> list[onnx.NodeProto]:
    """Slot S holds zeros and follows itself: the end of every chain."""
    node = helper.make_node
    return [
        node("Concat", ["next", "tail"], ["chain_0"], axis=1),
        node("Pad", ["values", "one_more"], ["total_0"]),
    ]


def _taken(values: str, place: str, output: str) -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("Unsqueeze", [place, "one"], [f"{output}_row"]),
        node("Expand", [f"{output}_row", "index_shape"], [f"{output}_index"]),
        node("GatherElements", [values, f"{output}_index"], [output], axis=2),
    ]
