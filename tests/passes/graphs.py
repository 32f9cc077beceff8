"""Small models for the passes, and a run of two of them on the same inputs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

F, I32, I64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64

node = helper.make_node


def model_of(nodes, inputs, outputs, *, opset=18, functions=(), domains=(), **constants) -> onnx.ModelProto:
    """A model; `inputs` and `outputs` are (name, type, shape), `constants` become initializers."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [helper.make_tensor_value_info(*entry) for entry in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=8)


def run(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Run a model in ONNX Runtime, unoptimized."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feeds))


def assert_identical(old: onnx.ModelProto, new: onnx.ModelProto, feeds, narrowed=None) -> None:
    """Both give the same bits; `narrowed` feeds the new one where its inputs are narrower."""
    onnx.checker.check_model(new, full_check=True)
    for left, right in zip(run(old, feeds), run(new, narrowed or feeds), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(right, left)


def ops(model: onnx.ModelProto) -> list[str]:
    return [entry.op_type for entry in model.graph.node]
