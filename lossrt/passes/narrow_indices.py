"""Make int64 inputs and index constants int32, for parsers that narrow int64 without a word (TensorRT before 9).

Such an engine takes int32 where the file says int64, and a caller that believes the file copies indices of the wrong width.

Requires: values within int32; constants are checked, inputs are the caller's. Ensures: no input of the main graph is int64;
constants that only serve as indices of Gather, GatherElements and ScatterElements are int32; results are bit-identical.
GatherND and ScatterND stay as they are: ONNX gives them int64 only.
"""

__all__ = ["narrow_indices"]

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lossrt.errors import InputError
from lossrt.passes.walk import nodes_in, used_names

_INDEXED = frozenset({"Gather", "GatherElements", "ScatterElements"})
_INT32 = np.iinfo(np.int32)


def narrow_indices(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with int32 inputs and index constants; the model itself where nothing is int64.

    Args:
        model: The model; it is left as it is.

    Raises:
        InputError: A constant index does not fit int32.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in copy.graph.initializer}
    casts = [
        _narrow_input(value, copy) for value in copy.graph.input if _is_wide(value) and value.name not in constants
    ]
    narrowed = _index_constants(copy)
    for tensor in narrowed:
        _narrow_constant(tensor)
    if not casts and not narrowed:
        return model
    nodes = list(copy.graph.node)
    del copy.graph.node[:]
    copy.graph.node.extend([*casts, *nodes])
    return copy


def _is_wide(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == TensorProto.INT64


def _narrow_input(value: onnx.ValueInfoProto, model: onnx.ModelProto) -> onnx.NodeProto:
    """Make the input int32 and return the Cast that everything else reads."""
    taken = used_names(model)
    wide = f"{value.name}:int64"
    while wide in taken:
        wide += "_"
    for node in nodes_in(model.graph.node):
        for position, name in enumerate(node.input):
            if name == value.name:
                node.input[position] = wide
    for output in model.graph.output:
        if output.name == value.name:
            raise InputError(
                f"input '{value.name}': it is an output as well and cannot become int32; put Identity between"
            )
    value.type.tensor_type.elem_type = TensorProto.INT32
    return helper.make_node("Cast", [value.name], [wide], name=f"{value.name}:widen", to=TensorProto.INT64)


def _index_constants(model: onnx.ModelProto) -> list[TensorProto]:
    """Return the int64 constants that serve as indices and as nothing else."""
    uses: dict[str, set[bool]] = {value.name: {False} for value in model.graph.output}
    for node in nodes_in(model.graph.node):
        for position, name in enumerate(node.input):
            uses.setdefault(name, set()).add(node.op_type in _INDEXED and position == 1)
    return [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.INT64 and uses.get(tensor.name) == {True}
    ]


def _narrow_constant(tensor: TensorProto) -> None:
    values = numpy_helper.to_array(tensor)
    if values.size and not (values.min() >= _INT32.min and values.max() <= _INT32.max):
        raise InputError(
            f"constant '{tensor.name}': expected indices within int32, got {values.min()} to {values.max()}; correct them"
        )
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.int32), tensor.name))
