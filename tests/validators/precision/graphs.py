"""Small graphs that the tests of this package share."""

__all__ = ["model_of", "sigmoid_to_depth"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, np.ndarray],
    *,
    outputs: Sequence[str] = ("out",),
    opset: int = 18,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Sequence[str] = (),
    **constants: Any,
) -> onnx.ModelProto:
    """A model whose inputs have the types and shapes of `inputs`; float constants are float32."""
    value = helper.make_tensor_value_info
    narrow = {
        name: np.asarray(array, np.float32 if np.asarray(array).dtype.kind == "f" else None)
        for name, array in constants.items()
    }
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [value(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape) for name, array in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in narrow.items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, functions=functions, opset_imports=imports, ir_version=9)
    inferred = onnx.shape_inference.infer_shapes(model)
    for output in inferred.graph.output:
        if not output.type.WhichOneof("value"):
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    return inferred


def sigmoid_to_depth(logits: np.ndarray) -> onnx.ModelProto:
    """CenterTrack's depth, 1 / (sigmoid(x) + 1e-6) − 1."""
    node = helper.make_node
    nodes = [
        node("Sigmoid", ["x"], ["p"], name="sigmoid"),
        node("Add", ["p", "eps"], ["q"], name="add"),
        node("Div", ["one", "q"], ["r"], name="div"),
        node("Sub", ["r", "one"], ["out"], name="sub"),
    ]
    return model_of(nodes, {"x": logits}, eps=1e-6, one=1.0)
