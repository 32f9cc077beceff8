"""Our operators in an export: what the exporter emits for them, and the local functions that go with the model."""

__all__ = ["attach_functions", "translations"]

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import torch

from lossrt.export.gather_function import DOMAIN, NAME, gather_function, gather_op
from lossrt.export.sum_function import CHAINED, LARGEST_TABLE, TABLE, chain_function, rounds_for, sum_op, table_function


@contextmanager
def translations() -> Iterator[dict[Any, Any]]:
    """Yield the exporter's table of our torch operators; it holds inside the context only."""
    with gather_op() as gather, sum_op() as summed:
        yield {
            torch.ops.lossrt.gather_feat.default: _translation(gather),
            torch.ops.lossrt.sum_by_pixel.default: _translation(summed),
        }


def attach_functions(model: onnx.ModelProto, *, body: str, opset: int) -> None:
    """Give a model the functions of our operators that it uses.

    Args:
        model: The model, its inner shapes inferred; changed in place.
        body: The gather's body, from `lossrt.export.gather_function.BODIES`.
        opset: ONNX opset of the model.
    """
    ours = [node for node in model.graph.node if node.domain == DOMAIN]
    if any(node.op_type == NAME for node in ours):
        model.functions.append(gather_function(body, opset=opset))
    sums = [node for node in ours if node.op_type == TABLE]
    shapes = {value.name: _shape(value) for value in (*model.graph.input, *model.graph.value_info)}
    longest = 0
    for node in sums:
        channels, slots = shapes.get(node.output[0], (0, 0, 0))[1:]
        if channels * slots * slots > LARGEST_TABLE:
            node.op_type = CHAINED
            longest = max(longest, slots)
    if any(node.op_type == TABLE for node in sums):
        model.functions.append(table_function(opset=opset))
    if longest:
        model.functions.append(chain_function(rounds=rounds_for(longest), opset=opset))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Return a value's sizes, 0 where one is open."""
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _translation(operator: Any) -> Any:
    def translate(values: Any, ind: Any) -> Any:
        return operator(values, ind)

    return translate
