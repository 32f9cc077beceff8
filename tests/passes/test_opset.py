import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from lossrt.errors import InputError
from lossrt.passes.opset import convert_opset, opset_of

X = np.random.default_rng(0).uniform(0.5, 2, (4, 6)).astype(np.float32)
REDUCTIONS = ["ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum"]
REDUCTIONS += ["ReduceLogSumExp", "ReduceSumSquare"]


def model_of(*nodes, opset=18, outputs=("y",), shape=(4, 6), **constants) -> onnx.ModelProto:
    """x [4, 6] float, through the nodes; `constants` are initializers."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid(domain, 1) for domain in {node.domain for node in nodes} - {""}]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *imports], ir_version=10)
    return shape_inference.infer_shapes(model)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})


def assert_same(model: onnx.ModelProto, opset: int) -> None:
    before = model.SerializeToString()
    converted = convert_opset(model, opset)
    assert model.SerializeToString() == before, "the model itself was changed"
    assert opset_of(converted) == opset
    onnx.checker.check_model(converted, full_check=True)
    for old, new in zip(run(model), run(converted), strict=True):
        np.testing.assert_array_equal(new, old)


def test_opset_of() -> None:
    model = model_of(helper.make_node("Neg", ["x"], ["y"]))
    assert opset_of(model) == 18
    model.opset_import[0].domain = "ai.onnx"
    assert opset_of(model) == 18
    model.opset_import[0].domain = "other"
    assert opset_of(model) == 0


def test_a_model_that_is_there_already_is_returned() -> None:
    model = model_of(helper.make_node("Neg", ["x"], ["y"]))
    assert convert_opset(model, 18) is model


@pytest.mark.parametrize("opset", [18, 21])
def test_up(opset: int) -> None:
    assert_same(model_of(helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0), opset=13), opset)


def test_up_where_onnx_cannot() -> None:
    ones = {name: np.ones(6, np.float32) for name in ("scale", "bias", "mean", "variance")}
    model = model_of(helper.make_node("BatchNormalization", ["x", *ones], ["y"], spatial=0), opset=8, **ones)
    with pytest.raises(InputError, match=r"model: cannot be converted from opset 8 to 18: .*spatial must have value 1"):
        convert_opset(model, 18)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[0], [-1], [0, 1], None], ids=str)
@pytest.mark.parametrize("op", REDUCTIONS)
def test_reductions_go_down(op: str, axes: list[int] | None, keepdims: int) -> None:
    constants = {} if axes is None else {"axes": np.array(axes, np.int64)}
    assert_same(model_of(helper.make_node(op, ["x", *constants], ["y"], keepdims=keepdims), **constants), 17)


SCATTER = {"at": np.array([[1, 1]]), "new": np.array([[3.0, 4.0]], np.float32)}


@pytest.mark.parametrize(
    "model",
    [
        model_of(helper.make_node("Split", ["x"], ["y", "z"], axis=1, num_outputs=2), outputs=("y", "z")),
        model_of(helper.make_node("Split", ["x"], ["y", "z"], num_outputs=2), outputs=("y", "z")),
        model_of(helper.make_node("Split", ["x", "n"], ["y", "z"], axis=-1), outputs=("y", "z"), n=np.array([5, 1])),
        model_of(helper.make_node("Pad", ["x", "by"], ["y"]), by=np.array([0, 1, 2, 0])),
        model_of(helper.make_node("Pad", ["x", "by"], ["y"], mode="edge"), by=np.array([0, 1, 2, 0])),
        model_of(helper.make_node("ScatterElements", ["x", "at", "new"], ["y"], reduction="add"), **SCATTER),
        model_of(helper.make_node("ScatterElements", ["x", "at", "new"], ["y"], axis=1), **SCATTER),
        model_of(
            helper.make_node("Exp", ["x"], ["e"]), helper.make_node("Clip", ["e", "low"], ["y"]), low=np.float32(3)
        ),
    ],
    ids=["split-axis-1", "split", "split-sizes", "pad", "pad-edge", "scatter-add", "scatter", "unchanged"],
)
def test_down(model: onnx.ModelProto) -> None:
    assert_same(model, 17)


@pytest.mark.parametrize("allowzero", [0, 1])
def test_a_reshape_goes_down(allowzero: int) -> None:
    node = helper.make_node("Reshape", ["x", "to"], ["y"], allowzero=allowzero)
    assert_same(model_of(node, to=np.array([2, -1])), 13)


def refusal(model: onnx.ModelProto, opset: int = 17) -> str:
    onnx.checker.check_model(model, full_check=True)
    with pytest.raises(InputError) as caught:
        convert_opset(model, opset)
    return str(caught.value)


NO_FORM = {
    "split-uneven": (model_of(helper.make_node("Split", ["x"], ["y", "z"], axis=0, num_outputs=2), shape=(5, 6)), 17),
    "split-open": (model_of(helper.make_node("Split", ["x"], ["y", "z"], num_outputs=2), shape=("B", 6)), 17),
    "pad-axes": (
        model_of(helper.make_node("Pad", ["x", "by", "", "at"], ["y"]), by=np.array([1, 1]), at=np.array([1])),
        17,
    ),
    "pad-wrap": (model_of(helper.make_node("Pad", ["x", "by"], ["y"], mode="wrap"), opset=21, by=np.ones(4, int)), 17),
    "scatter-max": (
        model_of(helper.make_node("ScatterElements", ["x", "at", "new"], ["y"], reduction="max"), **SCATTER),
        17,
    ),
    "scatter-add-before-16": (
        model_of(helper.make_node("ScatterElements", ["x", "at", "new"], ["y"], reduction="add"), **SCATTER),
        15,
    ),
    "split-sizes-before-13": (
        model_of(helper.make_node("Split", ["x", "n"], ["y", "z"], axis=1), n=np.array([5, 1])),
        12,
    ),
    "reshape-zero": (
        model_of(helper.make_node("Reshape", ["x", "to"], ["y"], allowzero=1), shape=("B", 6), to=np.array([0, 6])),
        13,
    ),
    "reduce-noop": (model_of(helper.make_node("ReduceMax", ["x"], ["y"], noop_with_empty_axes=1)), 17),
    "reduce-open-axes": (
        model_of(
            helper.make_node("Constant", [], ["axes"], value_ints=[1]),
            helper.make_node("ReduceMax", ["x", "axes"], ["y"]),
        ),
        17,
    ),
}


@pytest.mark.parametrize(("model", "opset"), NO_FORM.values(), ids=NO_FORM)
def test_down_where_the_meaning_would_change(model: onnx.ModelProto, opset: int) -> None:
    assert "has no form of this meaning below opset" in refusal(model, opset)


def test_every_node_without_a_form_is_named() -> None:
    model = model_of(
        helper.make_node("Mish", ["x"], ["m"], name="first"),
        helper.make_node("ReduceMax", ["m"], ["y"], noop_with_empty_axes=1, name="second"),
    )
    message = refusal(model)
    assert message.startswith("model: cannot be converted from opset 18 to 17: ")
    assert "node 'first': Mish first appears in opset 18" in message
    assert "node 'second': ReduceMax has no form" in message


def test_nodes_inside_a_branch_go_down_too() -> None:
    def branch(name: str, op: str) -> onnx.GraphProto:
        out = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        axes = [numpy_helper.from_array(np.array([1]), f"{name}_axes")]
        return helper.make_graph([helper.make_node(op, ["x", f"{name}_axes"], [name])], name, [], out, axes)

    chosen = helper.make_node(
        "If", ["yes"], ["y"], then_branch=branch("a", "ReduceMax"), else_branch=branch("b", "ReduceMin")
    )
    assert_same(model_of(chosen, yes=np.array(True)), 17)


def test_functions_are_to_be_inlined_first() -> None:
    model = model_of(helper.make_node("F", ["x"], ["y"], domain="ours"))
    body = [helper.make_node("Neg", ["a"], ["b"])]
    model.functions.append(helper.make_function("ours", "F", ["a"], ["b"], body, [helper.make_opsetid("", 18)]))
    with pytest.raises(InputError, match="inline its local functions first"):
        convert_opset(model, 17)


def test_other_domains_are_left_alone() -> None:
    model = model_of(helper.make_node("F", ["x"], ["y"], domain="ours"))
    lower = convert_opset(model, 17)
    assert lower.graph == model.graph
    assert {entry.domain: entry.version for entry in lower.opset_import} == {"": 17, "ours": 1}
