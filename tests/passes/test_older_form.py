"""Ways down over several opsets: most versions only admit more types, and what means something else is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, shape_inference

from lossrt.errors import InputError
from lossrt.passes.opset import convert_opset, opset_of
from tests.passes.graphs import I64, F, assert_identical, model_of, node

X = np.random.default_rng(0).uniform(0.5, 2, (1, 2, 6, 6)).astype(np.float32)
B16, BOOL = TensorProto.BFLOAT16, TensorProto.BOOL


def one(op: str, *inputs: str, opset: int, kind: int = F, out: int | None = None, **extra) -> onnx.ModelProto:
    attributes = {name: value for name, value in extra.items() if not isinstance(value, np.ndarray)}
    constants = {name: value for name, value in extra.items() if isinstance(value, np.ndarray)}
    nodes = [node(op, ["x", *inputs], ["y"], name="n", **attributes)]
    outputs = [("y", kind if out is None else out, None)]
    return shape_inference.infer_shapes(model_of(nodes, [("x", kind, X.shape)], outputs, opset=opset, **constants))


SAME = {
    "types-only": one("Identity", opset=21),
    "two-steps-of-types": one("Reshape", "s", opset=23, s=np.array([2, 36])),
    "reduction-over-two-versions": one("ReduceMax", "a", opset=20, a=np.array([1])),
    "reduction-without-axes": one("ReduceMin", opset=20, keepdims=0),
    "saturate-at-its-default": one("Cast", opset=19, out=I64, to=I64, saturate=1),
    "resize-at-its-defaults": one(
        "Resize",
        "",
        "s",
        opset=19,
        s=np.array([1, 1, 2, 2], np.float32),
        antialias=0,
        keep_aspect_ratio_policy="stretch",
    ),
    "dilations-of-one": one("AveragePool", opset=19, kernel_shape=[2, 2], dilations=[1, 1]),
    "grid-sample": one("GridSample", "g", opset=20, g=np.full((1, 3, 3, 2), 0.3, np.float32), mode="linear"),
    "grid-sample-default": one("GridSample", "g", opset=22, g=np.full((1, 3, 3, 2), -0.4, np.float32)),
    "pad": one("Pad", "p", opset=23, p=np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="edge"),
}

CHANGED = {
    "bool-reduction": one("ReduceMax", opset=20, kind=BOOL),
    "saturate-off": one("Cast", opset=19, out=I64, to=I64, saturate=0),
    "antialias": one("Resize", "", "s", opset=19, s=np.array([1, 1, 2, 2], np.float32), antialias=1),
    "dilated": one("AveragePool", opset=19, kernel_shape=[2, 2], dilations=[2, 2]),
    "ceil-mode": one("MaxPool", opset=22, kernel_shape=[2, 2], ceil_mode=1),
    "wrap": one("Pad", "p", opset=19, p=np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="wrap"),
    "new-operator": one("Gelu", opset=20),
    "new-type": one("Conv", "w", opset=22, kind=B16, w=np.ones((1, 2, 1, 1), np.float32)),
    "group-norm": model_of(
        [node("GroupNormalization", ["x", "s", "b"], ["y"], num_groups=2, name="n")],
        [("x", F, X.shape)], [("y", F, None)], opset=21, s=np.ones(2, np.float32), b=np.ones(2, np.float32),
    ),
    "cast-to-new-type": one("Cast", opset=19, out=TensorProto.FLOAT8E4M3FN, to=TensorProto.FLOAT8E4M3FN),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_what_says_the_same_goes_down(name: str) -> None:
    model = SAME[name]
    before = model.SerializeToString()
    older = convert_opset(model, 17)
    assert model.SerializeToString() == before, "the model itself was changed"
    assert opset_of(older) == 17
    if name == "dilations-of-one":
        # ONNX Runtime has another kernel below 19: the sums are taken in another order.
        onnx.checker.check_model(older, full_check=True)
        return
    assert_identical(model, older, {"x": X})


@pytest.mark.parametrize("name", CHANGED)
def test_what_means_something_else_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"node 'n': \w+ (has no form of this meaning below|first appears in) opset"):
        convert_opset(CHANGED[name], 17)


def test_below_13_schemas_are_not_compared() -> None:
    with pytest.raises(InputError, match="Softmax has no form"):
        convert_opset(one("Softmax", opset=13, axis=1), 11)
