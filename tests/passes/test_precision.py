"""The half-width pass: bit-identity on real exported graphs, and where the casts end up on small ones."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lossrt.errors import InputError
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph, onnx_from_module
from lossrt.models import GRAPHS, generic
from lossrt.models.upstream import UpstreamLoss
from lossrt.passes.inline import inline_functions
from lossrt.passes.opset import convert_opset
from lossrt.passes.precision import HALF_TYPES, MOVEMENT, cast_maps, map_names
from lossrt.recipe import load_recipe
from lossrt.runtime.ort import OrtSession
from lossrt.spec import GraphSpec, resolve, resolved_shape

NUMPY = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
RECIPE = load_recipe("mot17", batch=2, input=(136, 240), max_objs=32)
HALVES = pytest.mark.parametrize("to", list(HALF_TYPES))


@pytest.fixture(scope="module")
def exported() -> dict[str, tuple[GraphSpec, onnx.ModelProto]]:
    found = {}
    for name in ("gather_feat", "fast_focal", "reg_weighted_l1", "generic_loss"):
        model = onnx_from_graph(GRAPHS[name], RECIPE, options=ExportOptions())
        found[name] = GRAPHS[name].spec(RECIPE), model
    spec, loss = found["generic_loss"]
    inlined = inline_functions(loss)
    found["inlined"], found["opset 17"] = (spec, inlined), (spec, convert_opset(inlined, 17))
    found["flat, open dims"] = (
        spec,
        onnx_from_graph(
            GRAPHS["generic_loss"],
            RECIPE,
            options=ExportOptions(gather="flat", dynamic=("batch", "objects", "map")),
        ),
    )
    found["upstream"] = spec, onnx_from_module(UpstreamLoss(RECIPE), generic.spec(RECIPE), options=ExportOptions())
    return found


def random_inputs(spec: GraphSpec, *, saturated: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    arrays = {}
    for tensor in spec.inputs:
        shape = resolved_shape(tensor.dims, spec.sizes)
        if tensor.dtype == "int64":
            arrays[tensor.name] = rng.integers(0, int(resolve(tensor.high, spec.sizes)), shape)
        elif tensor.high == 1:
            arrays[tensor.name] = rng.random(shape, dtype=np.float32) ** 4
        else:
            values = rng.choice([-30.0, 30.0], shape) if saturated else rng.normal(-1, 3, shape)
            arrays[tensor.name] = values.astype(np.float32)
    return arrays


@HALVES
@pytest.mark.parametrize("saturated", [False, True], ids=["usual", "saturated"])
@pytest.mark.parametrize(
    "name",
    [
        "gather_feat",
        "fast_focal",
        "reg_weighted_l1",
        "generic_loss",
        "inlined",
        "opset 17",
        "flat, open dims",
        "upstream",
    ],
)
def test_same_bits_as_the_fp32_graph_on_rounded_inputs(exported, name: str, to: str, saturated: bool) -> None:
    spec, model = exported[name]
    before = model.SerializeToString()
    maps = map_names(spec)
    cast = cast_maps(model, maps, to=to)
    assert model.SerializeToString() == before, "the model itself was changed"
    onnx.checker.check_model(cast, full_check=True)
    arrays = random_inputs(spec, saturated=saturated)
    half = {key: array.astype(NUMPY[to]) if key in maps else array for key, array in arrays.items()}
    rounded = {key: half[key].astype(np.float32) if key in maps else array for key, array in arrays.items()}
    wanted = OrtSession(model.SerializeToString(), threads=1).run(rounded)
    got = OrtSession(cast.SerializeToString(), threads=1).run(half)
    for output, value in wanted.items():
        moved = name == "gather_feat"
        assert got[output].dtype == (NUMPY[to] if moved else np.float32)
        assert np.isfinite(value).all()
        assert got[output].astype(np.float32).tobytes() == value.tobytes()


@HALVES
def test_every_tensor_keeps_a_type_and_only_small_results_are_cast(exported, to: str) -> None:
    spec, model = exported["generic_loss"]
    cast = cast_maps(model, map_names(spec), to=to)
    types = {value.name: value.type.tensor_type.elem_type for value in (*cast.graph.value_info, *cast.graph.output)}
    assert {name for node in cast.graph.node for name in node.output} <= set(types)
    gathers = [node for node in cast.graph.node if node.op_type == "GatherFeat"]
    assert gathers
    assert all(types[node.output[0]] == HALF_TYPES[to] for node in gathers)
    cast_inputs = {node.input[0] for node in cast.graph.node if node.op_type == "Cast"}
    # The heatmaps are computed with whole; of every other head only what was gathered is cast.
    assert {name for name in cast_inputs if name in map_names(spec)} == {"pred_hm", "hm"}
    assert len(cast_inputs) == 2 + len(RECIPE.active_heads)


def test_map_names() -> None:
    assert map_names(generic.spec(RECIPE)) == (
        "pred_hm",
        "pred_reg",
        "pred_wh",
        "pred_tracking",
        "pred_ltrb_amodal",
        "hm",
    )


def small_model(*nodes: onnx.NodeProto, outputs=("y",), functions=(), opset: int = 18, **constants) -> onnx.ModelProto:
    """Maps x and z [2, 3, 4, 4] and a plain input t of the same shape, through the nodes."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes),
        "small",
        [value(name, TensorProto.FLOAT, [2, 3, 4, 4]) for name in ("x", "z", "t")],
        [value(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, functions=functions, opset_imports=imports, ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def cast_inputs(model: onnx.ModelProto) -> list[str]:
    return [node.input[0] for node in model.graph.node if node.op_type == "Cast"]


def test_one_cast_serves_every_reader() -> None:
    node = helper.make_node
    model = small_model(
        node("Exp", ["x"], ["a"]),
        node("Neg", ["x"], ["b"]),
        node("Add", ["a", "b"], ["c"]),
        node("Add", ["c", "x"], ["y"]),
    )
    cast = cast_maps(model, ["x"], to="fp16")
    assert cast_inputs(cast) == ["x"]
    assert all("x" not in node.input for node in cast.graph.node if node.op_type != "Cast")


def test_concat_moves_only_where_every_input_is_a_map() -> None:
    node = helper.make_node
    model = small_model(
        node("Concat", ["x", "z"], ["both"], axis=1),
        node("Concat", ["both", "t"], ["all"], axis=1),
        node("Abs", ["all"], ["y"]),
    )
    assert cast_inputs(cast_maps(model, ["x", "z"], to="fp16")) == ["both"]
    assert cast_inputs(cast_maps(model, ["x", "z", "t"], to="fp16")) == ["all"]


def test_shapes_are_read_without_a_cast() -> None:
    node = helper.make_node
    model = small_model(node("Shape", ["x"], ["s"]), node("Reshape", ["t", "s"], ["y"]))
    cast = cast_maps(model, ["x"], to="bf16")
    assert cast_inputs(cast) == []
    OrtSession(cast.SerializeToString())


def test_split_and_outputs_stay_half() -> None:
    node = helper.make_node
    model = small_model(
        node("Split", ["x", "parts"], ["y", "rest"], axis=1),
        node("Neg", ["rest"], ["w"]),
        outputs=("y", "w"),
        parts=np.array([1, 2]),
    )
    cast = cast_maps(model, ["x"], to="fp16")
    assert cast_inputs(cast) == ["rest"]
    types = {value.name: value.type.tensor_type.elem_type for value in cast.graph.output}
    assert types == {"y": TensorProto.FLOAT16, "w": TensorProto.FLOAT}


@HALVES
@pytest.mark.parametrize("op", sorted(MOVEMENT))
def test_every_movement_runs_in_onnx_runtime(op: str, to: str) -> None:
    more = {
        "Concat": (["x", "x"], {"axis": 0}, {}),
        "Expand": (["x", "k"], {}, {"k": np.array([5, 2, 3, 4, 4])}),
        "Gather": (["x", "k"], {"axis": 3}, {"k": np.array([3, 1])}),
        "GatherElements": (["x", "k"], {"axis": 3}, {"k": np.zeros((2, 3, 4, 1), np.int64)}),
        "GatherND": (["x", "k"], {}, {"k": np.array([[1, 2], [0, 1]])}),
        "Identity": (["x"], {}, {}),
        "Reshape": (["x", "k"], {}, {"k": np.array([6, -1])}),
        "Slice": (["x", "k", "l"], {}, {"k": np.array([1]), "l": np.array([2])}),
        "Split": (["x", "k"], {"axis": 1}, {"k": np.array([3])}),
        "Squeeze": (["x"], {}, {}),
        "Transpose": (["x"], {"perm": [3, 1, 0, 2]}, {}),
        "Unsqueeze": (["x", "k"], {}, {"k": np.array([0])}),
    }
    inputs, attributes, constants = more[op]
    model = small_model(helper.make_node(op, inputs, ["y"], **attributes), **constants)
    cast = cast_maps(model, ["x"], to=to)
    onnx.checker.check_model(cast)
    # ONNX Runtime's CPU lacks Expand in bfloat16; everything else keeps the map's type.
    kept = not (op == "Expand" and to == "bf16")
    assert cast.graph.output[0].type.tensor_type.elem_type == (HALF_TYPES[to] if kept else TensorProto.FLOAT)
    x = np.random.default_rng(0).normal(0, 3, (2, 3, 4, 4)).astype(NUMPY[to])
    rest = {name: np.zeros((2, 3, 4, 4), np.float32) for name in ("z", "t")}
    got = OrtSession(cast.SerializeToString()).run({"x": x, **rest})["y"]
    wanted = OrtSession(model.SerializeToString()).run({"x": x.astype(np.float32), **rest})["y"]
    assert got.astype(np.float32).tobytes() == wanted.tobytes()


def test_a_function_that_computes_is_cast_before() -> None:
    node, opset = helper.make_node, [helper.make_opsetid("", 18)]
    move = helper.make_function("own", "Move", ["a"], ["b"], [node("Transpose", ["a"], ["b"])], opset)
    compute = helper.make_function("own", "Compute", ["a"], ["b"], [node("Exp", ["a"], ["b"])], opset)
    model = small_model(
        node("Move", ["x"], ["m"], domain="own"),
        node("Compute", ["m"], ["y"], domain="own"),
        functions=[move, compute],
    )
    assert cast_inputs(cast_maps(model, ["x"], to="fp16")) == ["m"]


def test_names_that_are_taken_are_left_alone() -> None:
    node = helper.make_node
    model = small_model(
        node("Exp", ["t"], ["x:float32"], name="cast_x"), node("Add", ["x", "x:float32"], ["y"], name="add")
    )
    cast = cast_maps(model, ["x"], to="fp16")
    onnx.checker.check_model(cast, full_check=True)
    assert len({part.name for part in cast.graph.node}) == 3


def test_refusals() -> None:
    node = helper.make_node
    model = small_model(node("Exp", ["x"], ["y"]))
    with pytest.raises(InputError, match=r"precision 'fp8': .*valid: bf16, fp16"):
        cast_maps(model, ["x"], to="fp8")
    with pytest.raises(InputError, match=r"input 'pred': not in graph 'small'; valid: t, x, z"):
        cast_maps(model, ["pred"], to="fp16")
    with pytest.raises(InputError, match=r"input 'x': expected float32, got float16"):
        cast_maps(cast_maps(model, ["x"], to="fp16"), ["x"], to="bf16")
    with pytest.raises(InputError, match=r"bf16 needs opset 13 or newer, got 12"):
        cast_maps(small_model(node("Exp", ["x"], ["y"]), opset=12), ["x"], to="bf16")
    branch = helper.make_graph([node("Neg", ["x"], ["n"])], "branch", [], [onnx.ValueInfoProto(name="n")])
    choice = node("If", ["c"], ["y"], name="choice", then_branch=branch, else_branch=branch)
    with pytest.raises(InputError, match=r"node 'choice' \(If\): its subgraph reads x,"):
        cast_maps(small_model(choice, c=np.array(True)), ["x"], to="fp16")
