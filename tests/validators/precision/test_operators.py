"""Operators in float64 against ONNX Runtime in float32."""

import numpy as np
import onnx
import pytest
from onnx import helper

from lossrt.errors import InputError
from lossrt.runtime.ort import OrtSession
from lossrt.validators.precision.operators import BY_RUNTIME, operators_of
from tests.validators.precision.graphs import model_of

RNG = np.random.default_rng(0)
SPECIAL = np.array([-200, -50, -12, -1, 0, 1, 12, 50, 80, np.nan, np.inf, -np.inf], np.float32)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def index(low: int, high: int, *shape: int) -> np.ndarray:
    return RNG.integers(low, high, shape)


X = normal(2, 3, 8, 8)
UNARY = [
    "Sigmoid",
    "Exp",
    "Log",
    "Abs",
    "Neg",
    "Tanh",
    "Relu",
    "Softplus",
    "Sqrt",
    "Reciprocal",
    "Erf",
    "Elu",
    "LeakyRelu",
    "Floor",
    "Round",
    "Sign",
    "HardSigmoid",
]
CASES = {
    **{op: ((op, 18), {"x": SPECIAL}, {}) for op in UNARY},
    **{op: ((op, 18), {"x": X, "y": normal(3, 1, 1)}, {}) for op in ("Add", "Sub", "Mul", "Div", "PRelu")},
    **{op: ((op, 18), {"x": SPECIAL, "y": np.float32([1])}, {}) for op in ("Max", "Min", "Sum", "Greater")},
    **{op: ((op, 18), {"x": X}, {}) for op in ("ReduceMean", "ReduceL2", "ReduceLogSumExp", "Softmax", "LogSoftmax")},
    "ReduceSum": (("ReduceSum", 18), {"x": X, "a": np.array([-1, 1])}, {"keepdims": 0}),
    "ReduceSum of opset 11": (("ReduceSum", 11), {"x": X}, {"axes": [1]}),
    "Clip": (("Clip", 18), {"x": SPECIAL, "a": np.float32(-1), "b": np.float32(1)}, {}),
    "Clip of opset 6": (("Clip", 6), {"x": SPECIAL}, {"min": -1.0, "max": 2.0}),
    "Pow": (("Pow", 18), {"x": X, "a": np.array(3)}, {}),
    "Where": (("Where", 18), {"c": X > 0, "x": X, "y": normal(8)}, {}),
    # The reference evaluator's own fails beyond 64 rows.
    "GatherElements": (("GatherElements", 18), {"x": normal(2, 100, 3), "i": index(-100, 100, 2, 70, 3)}, {"axis": 1}),
    "GatherElements, fewer rows": (
        ("GatherElements", 18),
        {"x": normal(2, 100, 3), "i": index(0, 100, 1, 70, 2)},
        {"axis": -2},
    ),
    "GatherND": (("GatherND", 18), {"x": normal(2, 50, 3), "i": index(-2, 2, 4, 5, 2)}, {}),
    "GatherND, whole index": (("GatherND", 18), {"x": normal(2, 5), "i": index(0, 2, 4, 2)}, {}),
    "GatherND in batches": (
        ("GatherND", 18),
        {"x": normal(2, 3, 50, 6), "i": index(0, 50, 2, 3, 9, 1)},
        {"batch_dims": 2},
    ),
    "Pad, cutting off": (("Pad", 18), {"x": X, "p": np.array([0, 0, -3, 2, 0, 1, 1, -8]), "v": np.float32(5)}, {}),
    "Pad on some axes": (
        ("Pad", 18),
        {"x": X, "p": np.array([1, -2, 0, -1]), "v": np.float32(0), "a": np.array([-1, 2])},
        {},
    ),
    "Pad with the edge": (("Pad", 18), {"x": X, "p": np.array([0, 0, 1, 2, 0, 0, 3, 4])}, {"mode": "edge"}),
    "Pad of opset 10": (("Pad", 10), {"x": X}, {"pads": [0, 0, -1, 2, 0, 0, 3, -4], "value": 2.5}),
    "GroupNormalization": (("GroupNormalization", 21), {"x": X, "s": normal(3), "b": normal(3)}, {"num_groups": 3}),
    "LayerNormalization": (("LayerNormalization", 18), {"x": X, "s": normal(8)}, {}),
    "Conv": (("Conv", 22), {"x": X, "w": normal(4, 3, 3, 3), "b": normal(4)}, {"pads": [1, 1, 1, 1]}),
    "ConvTranspose": (("ConvTranspose", 18), {"x": X, "w": normal(3, 4, 3, 3)}, {"strides": [2, 2]}),
    "Gemm": (("Gemm", 18), {"x": normal(4, 5), "w": normal(6, 5)}, {"transB": 1}),
    "MatMul": (("MatMul", 18), {"x": normal(2, 4, 5), "w": normal(5, 6)}, {}),
    "MaxPool": (("MaxPool", 18), {"x": X}, {"kernel_shape": [3, 3]}),
    "AveragePool": (("AveragePool", 18), {"x": X}, {"kernel_shape": [3, 3]}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_agrees_with_onnx_runtime(case) -> None:
    (op, opset), feeds, attributes = case
    model = model_of([helper.make_node(op, list(feeds), ["out"], **attributes)], feeds, opset=opset)
    wanted = OrtSession(model.SerializeToString(), threads=1).run(feeds)["out"]
    (operator,) = operators_of(model)
    wide = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in feeds.items()}
    (got,) = operator.run(wide)
    assert got.dtype == (np.float64 if wanted.dtype == np.float32 else wanted.dtype)
    assert (operator.evaluator is None) == (op in BY_RUNTIME)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(got.astype(wanted.dtype), wanted, rtol=1e-5, atol=1e-6)


def test_an_index_outside_the_map_is_an_error() -> None:
    feeds = {"x": normal(2, 100, 1), "i": index(100, 101, 2, 4, 1)}
    (operator,) = operators_of(model_of([helper.make_node("GatherElements", ["x", "i"], ["out"], axis=1)], feeds))
    with pytest.raises(
        InputError, match=r"node 'out' \(GatherElements\): cannot be evaluated: index 100 is out of bounds"
    ):
        operator.run(feeds)


def test_every_unknown_operator_is_named() -> None:
    node = helper.make_node
    nodes = [
        node("Abs", ["x"], ["a"]),
        node("FusedGelu", ["a"], ["b"], domain="com.microsoft"),
        node("Abss", ["b"], ["c"]),
        node("Plugin", ["c"], ["out"], domain="ours"),
    ]
    model = model_of(nodes, {"x": X}, domains=["com.microsoft", "ours"])
    with pytest.raises(InputError, match=r"unknown operators: Abss, com\.microsoft::FusedGelu, ours::Plugin; "):
        operators_of(model)


def test_captured_values_are_read() -> None:
    node = helper.make_node
    value = onnx.ValueInfoProto(name="b")
    inner = helper.make_graph([node("Mul", ["x", "t"], ["b"])], "inner", [], [value])
    outer = helper.make_graph([node("If", ["c"], ["b"], then_branch=inner, else_branch=inner)], "outer", [], [value])
    feeds = {"c": np.array(True), "x": X, "t": X}
    model = model_of([node("If", ["c"], ["out"], then_branch=outer, else_branch=outer)], feeds)
    (operator,) = operators_of(model)
    assert operator.captured == ("c", "x", "t")
    (got,) = operator.run({name: array.astype(np.float64) if array.ndim else array for name, array in feeds.items()})
    np.testing.assert_array_equal(got, X.astype(np.float64) ** 2)
