import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from lossrt.errors import InputError
from lossrt.validators.precision import naive_half, naive_results
from lossrt.validators.precision.conversion import FLOAT_TYPES, convert_floats
from tests.validators.precision.graphs import model_of, sigmoid_to_depth

X = np.random.default_rng(0).normal(0, 3, (4, 5)).astype(np.float32)


def everything() -> onnx.ModelProto:
    """Floats in inputs, initializers, constants of each kind, casts, shapes filled with a value, a function and an If."""
    node = helper.make_node
    branch = helper.make_graph(
        [
            node("Constant", [], ["k"], value=numpy_helper.from_array(np.float32(0.1))),
            node("Mul", ["f", "k"], ["b"]),
        ],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
    )
    grow = helper.make_function(
        "own",
        "Grow",
        ["a"],
        ["b"],
        [node("Constant", [], ["k"], value_float=0.1), node("Add", ["a", "k"], ["b"])],
        [helper.make_opsetid("", 20)],
    )
    nodes = [
        node("Constant", [], ["row"], value_floats=[0.1, 0.2, 0.3, 0.4, 0.5]),
        node("Add", ["x", "row"], ["a"]),
        node("Mul", ["a", "w"], ["m"]),
        node("Cast", ["n"], ["c"], to=TensorProto.FLOAT),
        node("Add", ["m", "c"], ["d"]),
        node("ConstantOfShape", ["s"], ["e"], value=numpy_helper.from_array(np.float32([0.7]))),
        node("Add", ["d", "e"], ["g"]),
        node("Grow", ["g"], ["f"], domain="own"),
        node("If", ["yes"], ["out"], then_branch=branch, else_branch=branch),
    ]
    return model_of(
        nodes,
        {"x": X},
        opset=20,
        functions=[grow],
        domains=["own"],
        w=1.1,
        n=np.array(3),
        s=np.array([4, 5]),
        yes=np.array(True),
    )


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_every_float_is_converted_and_the_rest_is_left(dtype: str) -> None:
    model = everything()
    before = model.SerializeToString()
    half = naive_half(model, dtype=dtype)
    assert model.SerializeToString() == before, "the model itself was changed"
    onnx.checker.check_model(half, full_check=True)
    numpy_type = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}[dtype]
    got = ReferenceEvaluator(half).run(None, {"x": X.astype(numpy_type)})[0]
    assert got.dtype == numpy_type
    r = lambda value: np.asarray(value).astype(numpy_type).astype(np.float32)  # noqa: E731
    wanted = r(r(X) + r([0.1, 0.2, 0.3, 0.4, 0.5]))
    wanted = r(r(r(wanted * r(1.1)) + 3) + r(0.7))
    wanted = r(r(wanted + r(0.1)) * r(0.1))
    np.testing.assert_array_equal(got.astype(np.float32), wanted)
    # The walk does not round inside the branches of an If.
    del model.graph.node[-1]
    model.graph.output[0].name = "f"
    walked = naive_results(model, {"x": X}, dtype=dtype)["f"]
    np.testing.assert_array_equal(r(walked.astype(np.float32) * r(0.1)), wanted)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_the_walk_rounds_as_onnx_does_operator_by_operator(dtype: str) -> None:
    logits = np.linspace(-10, 10, 4001, dtype=np.float32)
    model = sigmoid_to_depth(logits)
    walked = naive_results(model, {"x": logits}, dtype=dtype)["out"]
    evaluated = ReferenceEvaluator(naive_half(model, dtype=dtype)).run(None, {"x": logits.astype(walked.dtype)})[0]
    assert walked.dtype == evaluated.dtype
    # numpy's sigmoid rounds its own steps, the walk once; near 0 the subtraction of 1 leaves what that amounts to.
    eps = 4 * float(ml_dtypes.finfo(walked.dtype).eps)
    usual = logits > -7
    np.testing.assert_allclose(
        walked[usual].astype(np.float32), evaluated[usual].astype(np.float32), rtol=eps, atol=eps
    )


def test_wide_conversion_keeps_values() -> None:
    model = everything()
    wide = convert_floats(model, TensorProto.DOUBLE)
    onnx.checker.check_model(wide, full_check=True)
    got = ReferenceEvaluator(wide).run(None, {"x": X.astype(np.float64)})[0]
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, ReferenceEvaluator(model).run(None, {"x": X})[0], rtol=1e-6)


def test_no_float_type_but_the_asked_one_is_left() -> None:
    text = onnx.printer.to_text(convert_floats(everything(), TensorProto.FLOAT16))
    others = [TensorProto.DataType.Name(kind).lower() for kind in FLOAT_TYPES if kind != TensorProto.FLOAT16]
    assert not [name for name in others if f"{name}[" in text or f"{name} " in text.replace("value_float ", "")]


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"type 'fp8': not a half-width type; .*valid: bf16, fp16"):
        naive_half(everything(), dtype="fp8")
    old = model_of([helper.make_node("Abs", ["x"], ["out"])], {"x": X}, opset=12)
    with pytest.raises(InputError, match=r"bf16 needs opset 13 or newer, got 12"):
        naive_half(old, dtype="bf16")
