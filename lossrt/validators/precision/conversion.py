"""Convert a whole model to one float type, as `.half()` and the common converters do."""

__all__ = ["FLOAT_TYPES", "convert_floats", "is_float", "naive_half"]

from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from lossrt.errors import InputError, nearest
from lossrt.passes.opset import opset_of
from lossrt.passes.precision import HALF_TYPES

FLOAT_TYPES: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.DOUBLE: np.dtype(np.float64),
}
"""ONNX element types that a conversion replaces, with numpy's."""


def is_float(dtype: np.dtype[Any]) -> bool:
    """Tell whether numpy's type is one of these; bfloat16 is no float to numpy itself."""
    return dtype in FLOAT_TYPES.values()


def naive_half(model: onnx.ModelProto, *, dtype: str) -> onnx.ModelProto:
    """Return the model with every float tensor in a half-width type: inputs, outputs, constants and everything between.

    As with the converters, nothing makes sure that ONNX has every operator in that type.

    Args:
        model: Any model; it is left as it is.
        dtype: `fp16` or `bf16`.

    Raises:
        InputError: The type is unknown, or the opset has no bfloat16.
    """
    if dtype not in HALF_TYPES:
        raise InputError(f"type '{dtype}': not a half-width type; {nearest(dtype, HALF_TYPES)}")
    if dtype == "bf16" and opset_of(model) < 13:
        raise InputError(f"model: bf16 needs opset 13 or newer, got {opset_of(model)}; export for a newer target")
    return convert_floats(model, HALF_TYPES[dtype])


def convert_floats(model: onnx.ModelProto, kind: int) -> onnx.ModelProto:
    """Return the model with every float type in it replaced.

    Args:
        model: Any model; it is left as it is.
        kind: ONNX element type to convert to, one of `FLOAT_TYPES`.
    """
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    _convert_graph(converted.graph, kind)
    for function in converted.functions:
        _convert_values(function.value_info, kind)
        for node in function.node:
            _convert_node(node, kind)
    return converted


def _convert_graph(graph: onnx.GraphProto, kind: int) -> None:
    for values in (graph.input, graph.output, graph.value_info):
        _convert_values(values, kind)
    for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        _convert_tensor(tensor, kind)
    for node in graph.node:
        _convert_node(node, kind)


def _convert_values(values: Iterable[onnx.ValueInfoProto], kind: int) -> None:
    for value in values:
        if value.type.tensor_type.elem_type in FLOAT_TYPES:
            value.type.tensor_type.elem_type = kind


def _convert_tensor(tensor: TensorProto, kind: int) -> None:
    if tensor.data_type in FLOAT_TYPES:
        tensor.CopyFrom(_tensor(tensor.name, numpy_helper.to_array(tensor), kind))


def _convert_node(node: onnx.NodeProto, kind: int) -> None:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.INT:
            if attribute.name in ("to", "dtype") and attribute.i in FLOAT_TYPES:
                attribute.i = kind
        elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            content = attribute.f if attribute.name == "value_float" else list(attribute.floats)
            attribute.CopyFrom(helper.make_attribute("value", _tensor("", np.asarray(content, np.float32), kind)))
        for tensor in (attribute.t, *attribute.tensors):
            _convert_tensor(tensor, kind)
        for graph in (attribute.g, *attribute.graphs):
            _convert_graph(graph, kind)


def _tensor(name: str, array: NDArray[Any], kind: int) -> TensorProto:
    # A value beyond the new type becomes infinite, as in the converters.
    with np.errstate(all="ignore"):
        content = array.astype(FLOAT_TYPES[kind]).tobytes()
    return helper.make_tensor(name, kind, array.shape, content, raw=True)
