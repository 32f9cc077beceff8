"""Small ONNX graphs for the tests of the runtimes."""

import importlib.util

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

FLOAT, BFLOAT16, FLOAT16, INT64, DOUBLE = (
    TensorProto.FLOAT,
    TensorProto.BFLOAT16,
    TensorProto.FLOAT16,
    TensorProto.INT64,
    TensorProto.DOUBLE,
)

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None or importlib.util.find_spec("polygraphy") is None,
    reason="tensorrt_rtx and polygraphy are not installed: pip install tensorrt-rtx polygraphy",
)


def model(nodes, inputs, outputs, constants=None):
    """A checked model; `inputs` and `outputs` map names to (type, shape), `constants` names to arrays."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def masked_l1(batch=2, slots=4, low=1e-4):
    """Σ|(pred − target)·mask| / (Σ mask + low) over [batch, slots]."""
    shape = (FLOAT, [batch, slots])
    return model(
        [
            helper.make_node("Sub", ["pred", "target"], ["difference"], name="difference"),
            helper.make_node("Mul", ["difference", "mask"], ["masked"], name="masked"),
            helper.make_node("Abs", ["masked"], ["terms"], name="terms"),
            helper.make_node("ReduceSum", ["terms"], ["total"], name="total", keepdims=0),
            helper.make_node("ReduceSum", ["mask"], ["count"], name="count", keepdims=0),
            helper.make_node("Add", ["count", "low"], ["denominator"], name="denominator"),
            helper.make_node("Div", ["total", "denominator"], ["loss"], name="loss"),
        ],
        {"pred": shape, "target": shape, "mask": shape},
        {"loss": (FLOAT, [])},
        {"low": np.array(low, np.float32)},
    )


def relu(kind=FLOAT, shape=("B", 3)):
    """Relu in float32 on a map of another type."""
    return model(
        [
            helper.make_node("Cast", ["x"], ["wide"], name="widen", to=FLOAT),
            helper.make_node("Relu", ["wide"], ["positive"], name="relu"),
            helper.make_node("Cast", ["positive"], ["y"], name="narrow", to=kind),
        ],
        {"x": (kind, list(shape))},
        {"y": (kind, list(shape))},
    )


def product():
    """A matrix product: its compiled form wants workspace."""
    shape = (FLOAT, [64, 64])
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")], {"x": shape, "w": shape}, {"y": shape}
    )


def save(proto, path):
    path.write_bytes(proto.SerializeToString())
    return path
