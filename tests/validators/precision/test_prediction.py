"""Known failures of half precision must be found, at the right node, and none must be seen where there is none."""

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lossrt.errors import InputError
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph, onnx_from_module
from lossrt.models import GRAPHS, generic
from lossrt.models.upstream import UpstreamLoss
from lossrt.passes.precision import HALF_TYPES, cast_maps, map_names
from lossrt.recipe import Recipe, load_recipe
from lossrt.runtime.ort import OrtSession
from lossrt.validators.oracle.generic import generic_loss
from lossrt.validators.precision import Finding, Prediction, naive_half, naive_results, predict_failures
from tests.validators.precision.graphs import model_of, sigmoid_to_depth
from tests.validators.samples import sample_batch

MOT17 = load_recipe("mot17", batch=2)
SMALL = load_recipe("mot17", batch=2, input=(136, 240), max_objs=32)
HALVES = pytest.mark.parametrize("dtype", list(HALF_TYPES))
node = helper.make_node


def batch_of(recipe: Recipe, *, centre: float = -3.0, spread: float = 2.0, **changes) -> dict[str, np.ndarray]:
    """A batch whose heatmap logits are normal around `centre`, of the size that `changes` give the recipe."""
    sized = recipe.model_copy(update=changes)
    arrays = sample_batch(sized, 3, objects=0.2)
    rng = np.random.default_rng(4)
    arrays["pred_hm"] = rng.normal(centre, spread, arrays["pred_hm"].shape).astype(np.float32)
    return arrays


@pytest.fixture(scope="module")
def upstream() -> onnx.ModelProto:
    """Upstream's loss on mot17's own maps, batch open."""
    return onnx_from_module(UpstreamLoss(MOT17), generic.spec(MOT17), options=ExportOptions())


@pytest.fixture(scope="module")
def ours() -> onnx.ModelProto:
    return onnx_from_graph(GRAPHS["generic_loss"], SMALL, options=ExportOptions())


def only(prediction: Prediction, kind: str, op: str) -> Finding:
    (found,) = [f for f in prediction.findings if f.fault.kind == kind and f.op == op and f.fault.origin != "inherited"]
    return found


def test_upstream_fp16_clamp_rounds_to_one_and_the_loss_turns_nan(upstream: onnx.ModelProto) -> None:
    feeds = batch_of(MOT17, batch=1)
    # A confident pixel at an object's centre, where the target is 1, and one that is confident and wrong.
    feeds["pred_hm"][0, 0, 5, [7, 9]] = 12.0
    feeds["hm"][0, 0, 5, 7], feeds["hm"][0, 0, 5, 9] = 1.0, 0.0
    prediction = predict_failures(upstream, feeds, dtype="fp16")
    assert prediction.mode == "naive"
    clamp = only(prediction, "constant", "Clip")
    assert (clamp.constant, clamp.fault.wide, clamp.fault.narrow) == (True, pytest.approx(0.9999), 1.0)
    assert clamp.fault.origin == "here"
    assert (clamp.torch_op, clamp.source.split(":")[0]) == ("aten.clamp.default", "upstream.py")
    # 1 − p is 0 where it was 1e-4: every digit is gone, on sound operands.
    complement = [f for f in prediction.findings if (f.op, f.fault.kind, f.fault.origin) == ("Sub", "digits", "here")]
    assert complement
    assert complement[0].fault.narrow == 0
    log = only(prediction, "overflow", "Log")
    assert (log.fault.narrow, log.fault.elements, log.fault.origin) == (-np.inf, 2, "worsened")
    assert log.fault.wide == pytest.approx(np.log(1e-4), abs=1e-2)
    # −inf · 0 where the target is 1.
    times_zero = only(prediction, "nan", "Mul")
    assert (times_zero.fault.elements, times_zero.fault.index, times_zero.fault.origin) == (1, (0, 0, 5, 7), "worsened")
    assert prediction.findings[0] == times_zero, "worst first"
    origins = [f.fault.origin == "inherited" for f in prediction.findings]
    assert origins == sorted(origins), "inherited faults last"
    assert origins[-1]
    outputs = {output.name: output for output in prediction.outputs}
    assert np.isnan(outputs["loss"].narrow)
    assert np.isnan(outputs["loss_hm"].narrow)
    assert outputs["loss_reg"].error < 2.0**-8
    naive = naive_results(upstream, feeds, dtype="fp16")
    assert list(naive) == [output.name for output in upstream.graph.output]
    assert naive["loss"].dtype == np.float16
    np.testing.assert_equal(
        {name: float(value) for name, value in naive.items()}, {n: o.narrow for n, o in outputs.items()}
    )


def test_upstream_fp16_whole_map_sum_overflows_at_full_size(upstream: onnx.ModelProto) -> None:
    feeds = batch_of(MOT17, batch=10, centre=1.0, spread=1.0)
    start = time.perf_counter()
    prediction = predict_failures(upstream, feeds, dtype="fp16")
    assert time.perf_counter() - start < 20
    worst = prediction.findings[0]
    assert (worst.op, worst.fault.kind, worst.fault.origin, worst.size) == ("ReduceSum", "overflow", "here", 1)
    assert worst.absmax > 65504
    assert worst.fault.narrow == -np.inf
    inherited = [f for f in prediction.findings if f.fault.kind == "overflow" and f is not worst]
    assert inherited
    assert {f.fault.origin for f in inherited} == {"inherited"}
    # The wide run against the independent oracle.
    wanted = generic_loss(MOT17, feeds)
    for output in prediction.outputs:
        assert output.wide == pytest.approx(float(wanted[output.name].value), rel=2.0**-9)


def test_upstream_bf16_loses_the_clamp_but_not_the_sum(upstream: onnx.ModelProto) -> None:
    prediction = predict_failures(upstream, batch_of(MOT17, batch=1, centre=1.0, spread=1.0), dtype="bf16")
    assert only(prediction, "constant", "Clip").fault.narrow == 1
    assert not [f for f in prediction.findings if f.op == "ReduceSum"]


def test_depth_overflows_in_fp16_only() -> None:
    logits = np.array([-12.0, 0.0, 3.0], np.float32)
    prediction = predict_failures(sigmoid_to_depth(logits), {"x": logits}, dtype="fp16")
    worst = prediction.findings[0]
    assert (worst.node, worst.op, worst.fault.kind, worst.fault.origin) == ("div", "Div", "overflow", "here")
    assert worst.fault.index == (0,)
    assert worst.fault.wide == pytest.approx(1 / (1 / (1 + np.exp(12)) + 1e-6), rel=1e-6)
    assert (worst.low, worst.absmax) == (pytest.approx(1 / 0.9525751), worst.fault.wide)
    assert str(worst) == (
        "overflow (here) at node 'div' (Div): 1 of 3 elements, worst inf instead of 139974 at [0]; range 1.04979 to 139974"
    )
    assert not predict_failures(sigmoid_to_depth(logits), {"x": logits}, dtype="bf16").findings


@HALVES
@pytest.mark.parametrize("spread", [2.0, 30.0], ids=["usual", "saturated"])
def test_our_own_half_graph_has_no_failure(ours: onnx.ModelProto, dtype: str, spread: float) -> None:
    half = cast_maps(ours, map_names(GRAPHS["generic_loss"].spec(SMALL)), to=dtype)
    prediction = predict_failures(half, batch_of(SMALL, spread=spread), dtype=dtype)
    assert prediction.mode == "as written"
    assert prediction.findings == ()
    assert [output.name for output in prediction.outputs] == [output.name for output in ours.graph.output]
    assert max(output.error for output in prediction.outputs) < 1e-5


def test_a_half_graph_that_computes_in_half_is_caught_as_written(upstream: onnx.ModelProto) -> None:
    """The same fault in a file that somebody converted, and in one whose tail was cast back too late."""
    feeds = batch_of(MOT17, batch=1)
    feeds["pred_hm"][0, 0, 5, 7] = 12.0
    half = naive_half(upstream, dtype="fp16")
    prediction = predict_failures(half, feeds, dtype="fp16")
    assert prediction.mode == "as written"
    # The constants of the file are what they are, so that the wide run agrees with them.
    assert not [f for f in prediction.findings if f.constant]
    logits = np.array([0.0, 12.0], np.float32)
    late = model_of(
        [
            node("Sigmoid", ["x"], ["p"], name="sigmoid"),
            node("Cast", ["p"], ["p32"], name="cast", to=TensorProto.FLOAT),
            node("Sub", ["one", "p32"], ["q"], name="sub"),
            node("Log", ["q"], ["out"], name="log"),
        ],
        {"x": logits.astype(np.float16)},
        one=1.0,
    )
    late = onnx.shape_inference.infer_shapes(late)
    prediction = predict_failures(late, {"x": logits}, dtype="fp16")
    found = {(f.node, f.fault.kind, f.fault.origin) for f in prediction.findings}
    assert found == {("sub", "digits", "here"), ("log", "overflow", "worsened")}


def test_an_index_computed_in_half_is_caught() -> None:
    row, column = np.array([8.0, 100.0], np.float32), np.array([1.0, 77.0], np.float32)
    model = model_of(
        [
            node("Mul", ["r", "width"], ["start"], name="mul"),
            node("Add", ["start", "c"], ["flat"], name="add"),
            node("Cast", ["flat"], ["index"], name="cast", to=TensorProto.INT64),
            node("Gather", ["map", "index"], ["out"], name="gather"),
        ],
        {"r": row, "c": column},
        width=240.0,
        map=np.arange(240.0 * 136) % 7,
    )
    prediction = predict_failures(model, {"r": row, "c": column}, dtype="fp16")
    changed = prediction.findings[0]
    assert (changed.node, changed.fault.kind, changed.fault.elements) == ("cast", "changed", 1)
    assert (changed.fault.wide, changed.fault.narrow) == (24077, 24080)


def test_only_what_reads_a_faulty_element_inherits() -> None:
    x = np.array([[1e-9, 1.0], [2.0, 3.0]], np.float32)
    model = model_of(
        [
            node("Mul", ["x", "big"], ["a"], name="mul"),
            node("Transpose", ["a"], ["b"], name="turn"),
            node("Log", ["b"], ["c"], name="log"),
            node("Slice", ["c", "one", "two"], ["d"], name="cut"),
            node("Sub", ["d", "d"], ["e"], name="sub"),
            node("Exp", ["c"], ["f"], name="exp"),
        ],
        {"x": x},
        outputs=("e", "f"),
        big=1e-3,
        one=np.array([1]),
        two=np.array([2]),
    )
    prediction = predict_failures(model, {"x": x}, dtype="fp16")
    found = [(f.op, f.node, f.fault.kind, f.fault.origin) for f in prediction.findings]
    assert ("Log", "log", "overflow", "worsened") in found
    assert ("input", "", "underflow", "here") in found
    assert not [f for f in found if f[1] in ("turn", "cut", "sub")]
    assert prediction.outputs[0].nonfinite == 0


def test_convolutions_run_in_float32_and_are_named() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 100, (1, 3, 16, 16)).astype(np.float32)
    weights = rng.normal(0, 10, (4, 3, 3, 3))
    model = model_of([node("Conv", ["x", "w"], ["a"], name="conv"), node("Relu", ["a"], ["out"])], {"x": x}, w=weights)
    prediction = predict_failures(model, {"x": x}, dtype="fp16")
    assert prediction.in_float32 == ("Conv",)
    assert prediction.findings == ()
    got = naive_results(model, {"x": x}, dtype="fp16")["out"]
    rounded = model_of(
        [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["out"])],
        {"x": x},
        w=weights.astype(np.float16).astype(np.float32),
    )
    wanted = OrtSession(rounded.SerializeToString()).run({"x": x.astype(np.float16).astype(np.float32)})["out"]
    np.testing.assert_array_equal(got, wanted.astype(np.float16))
    loud = predict_failures(model, {"x": 100 * x}, dtype="fp16").findings[0]
    assert (loud.node, loud.fault.kind, loud.fault.origin) == ("conv", "overflow", "here")


def test_branches_run_whole() -> None:
    branch = helper.make_graph(
        [node("Mul", ["x", "x"], ["s"]), node("Sqrt", ["s"], ["b"])], "branch", [], [onnx.ValueInfoProto(name="b")]
    )
    x = np.array([300.0, 2.0], np.float32)
    model = model_of(
        [node("If", ["c"], ["out"], name="if", then_branch=branch, else_branch=branch)], {"x": x}, c=np.array(True)
    )
    assert predict_failures(model, {"x": x}, dtype="fp16").findings == ()
    np.testing.assert_array_equal(naive_results(model, {"x": x}, dtype="fp16")["out"], x)


def test_local_functions_are_walked_inside_and_keep_their_origin() -> None:
    square = helper.make_function(
        "own", "Square", ["a"], ["b"], [node("Mul", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    call = node("Square", ["x"], ["out"], name="square", domain="own")
    call.metadata_props.add(key="lossrt.torch_op", value="aten.square.default")
    x = np.array([300.0, 2.0], np.float32)
    model = model_of([call], {"x": x}, functions=[square], domains=["own"])
    (finding,) = predict_failures(model, {"x": x}, dtype="fp16").findings
    assert (finding.node, finding.op, finding.torch_op) == ("square", "Mul", "aten.square.default")


def test_inputs_that_the_type_cannot_hold() -> None:
    x = np.array([1e5, 1.0, np.nan], np.float32)
    model = model_of([node("Abs", ["x"], ["out"])], {"x": x})
    worst, other = predict_failures(model, {"x": x}, dtype="fp16").findings
    assert (worst.op, worst.tensor, worst.fault.kind, worst.fault.origin) == ("input", "x", "overflow", "here")
    assert (other.op, other.fault.origin) == ("Abs", "inherited")
    assert str(worst).startswith(
        "overflow (here) at input 'x': 1 of 3 elements, worst inf instead of 100000 at [0]; range 1 "
    )


@pytest.mark.parametrize(("dtype", "roundoff"), [("fp16", 2.0**-11), ("bf16", 2.0**-8)])
def test_digits_are_lost_beyond_the_root_of_the_types_roundoff(dtype: str, roundoff: float) -> None:
    """c − 1, a few ulp of 1: |error| / |value| on both sides of the bound."""
    for factor, kinds in ((0.9, []), (1.2, ["digits"])):
        # The type rounds c = 1 + k·u·2 + δ to 1 + k·u·2, so that c − 1 is off by δ.
        steps = 4.0
        delta = factor * np.sqrt(roundoff) * steps * 2 * roundoff
        model = model_of(
            [node("Sub", ["c", "one"], ["d"], name="sub"), node("Log", ["d"], ["out"])],
            {"x": np.zeros(1, np.float32)},
            c=[1 + steps * 2 * roundoff + delta],
            one=[1.0],
        )
        found = [f.fault for f in predict_failures(model, {"x": np.zeros(1)}, dtype=dtype).findings if f.op == "Sub"]
        assert [fault.kind for fault in found] == kinds


def test_refusals() -> None:
    x = np.ones((2, 3), np.float32)
    model = model_of([node("Add", ["x", "z"], ["out"])], {"x": x, "z": x})
    with pytest.raises(InputError, match=r"type 'int8': not a half-width type; .*valid: bf16, fp16"):
        predict_failures(model, {"x": x, "z": x}, dtype="int8")
    with pytest.raises(InputError, match=r"graph 'graph': inputs x, z: missing among the arrays given: y; add them"):
        predict_failures(model, {"y": x}, dtype="fp16")
    with pytest.raises(InputError, match=r"tensor 'z': expected float32\[2, 3\], got float32\[3, 2\]; "):
        predict_failures(model, {"x": x, "z": x.T}, dtype="fp16")
    with pytest.raises(InputError, match=r"tensor 'x': expected float32\[2, 3\], got int64\[2, 3\]; "):
        predict_failures(model, {"x": x.astype(np.int64), "z": x}, dtype="fp16")
    with pytest.raises(InputError, match=r"it is written in fp16 and cannot be walked in bf16; "):
        predict_failures(naive_half(model, dtype="fp16"), {"x": x, "z": x}, dtype="bf16")
    with pytest.raises(InputError, match=r"unknown operators: Nonsense; "):
        predict_failures(model_of([node("Nonsense", ["x"], ["out"])], {"x": x}), {"x": x}, dtype="fp16")
