import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import shape_inference

from lossrt.errors import InputError
from lossrt.export.onnx_from_graph import GATHERS, ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS
from lossrt.passes.opset import opset_of
from lossrt.platforms import PLATFORMS
from tests.export.graphs import NAMES, assert_right, feeds, run
from tests.validators.samples import recipe_of

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("ort", "jetpack5", "jetpack6.0", "rtx")
ALL_OPEN = ("batch", "objects", "map")


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("gather", GATHERS)
@pytest.mark.parametrize("graph", NAMES)
def test_every_form_of_every_graph(graph: str, gather: str, target: str, small_recipe, export) -> None:
    model = export(graph, small_recipe, target=target, gather=gather)
    onnx.checker.check_model(model, full_check=True)
    shape_inference.infer_shapes(model, strict_mode=True, check_type=True, data_prop=True)

    platform, spec = PLATFORMS[target], GRAPHS[graph].spec(small_recipe)
    assert opset_of(model) == platform.opset
    kept = gather == "function" and platform.functions
    assert [(function.domain, function.name) for function in model.functions] == [("lossrt", "GatherFeat")] * kept
    assert ("lossrt" in {node.domain for node in model.graph.node}) == kept
    assert {node.domain for node in model.graph.node} <= {"", "lossrt"}
    assert {entry.domain for entry in model.opset_import} == ({"", "lossrt"} if kept else {""})
    assert [value.name for value in model.graph.input] == [tensor.name for tensor in spec.inputs]
    assert [value.name for value in model.graph.output] == [output.name for output in spec.outputs]
    for value, tensor in zip(model.graph.input, spec.inputs, strict=True):
        assert dims(value) == ["B" if dim == "B" else small_recipe.sizes.get(dim, dim) for dim in tensor.dims]

    inputs = feeds(graph, small_recipe)
    got = assert_right(graph, small_recipe, model, inputs)
    for name, value in run(export(graph, small_recipe), inputs).items():
        assert got[name].tobytes() == value.tobytes(), f"{name}: other bits than with one function for ort"


@pytest.mark.parametrize("gather", GATHERS)
@pytest.mark.parametrize("graph", NAMES)
def test_an_open_batch_takes_any_batch(graph: str, gather: str, small_recipe, export) -> None:
    model = export(graph, small_recipe, gather=gather)
    for batch in (1, 2, 5):
        assert_right(graph, small_recipe, model, feeds(graph, small_recipe, batch, batch=batch))


SIZES = {
    "recipe": {},
    "one-of-each": {"batch": 1, "max_objs": 1, "input": (4, 4)},
    "few-slots": {"batch": 2, "max_objs": 7, "input": (64, 80)},
    "many-slots": {"batch": 5, "max_objs": 70, "input": (200, 120)},
}


@pytest.mark.parametrize("graph", NAMES)
def test_a_recipe_of_one_image_leaves_the_batch_open(graph: str, small_recipe) -> None:
    recipe = small_recipe.model_copy(update={"batch": 1})
    model = onnx_from_graph(GRAPHS[graph], recipe, options=ExportOptions())
    for batch in (1, 3):
        assert_right(graph, small_recipe, model, feeds(graph, small_recipe, batch, batch=batch))


@pytest.mark.parametrize("target", ["ort", "jetpack5"])
@pytest.mark.parametrize("gather", GATHERS)
@pytest.mark.parametrize("graph", ["gather_feat", "generic_loss"])
def test_everything_open_takes_any_size(graph: str, gather: str, target: str, small_recipe, export) -> None:
    model = export(graph, small_recipe, gather=gather, target=target, dynamic=ALL_OPEN)
    for value, tensor in zip(model.graph.input, GRAPHS[graph].spec(small_recipe).inputs, strict=True):
        assert dims(value) == list(tensor.dims)
    for sizes in SIZES.values():
        assert_right(graph, small_recipe, model, feeds(graph, small_recipe, **sizes))


@pytest.mark.parametrize("target", ["ort", "jetpack5"])
@pytest.mark.parametrize("graph", ["gather_feat", "generic_loss"])
def test_a_static_graph_takes_its_own_size_only(graph: str, target: str, small_recipe, export) -> None:
    model = export(graph, small_recipe, target=target, dynamic=())
    for value in (*model.graph.input, *model.graph.output):
        assert all(isinstance(dim, int) for dim in dims(value))
    assert_right(graph, small_recipe, model, feeds(graph, small_recipe))
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match="Expected: 3"):
        run(model, feeds(graph, small_recipe, batch=2))


def test_a_recipe_that_differs_in_everything(export) -> None:
    recipe = recipe_of(
        num_stacks=2,
        finetune=None,
        input=[64, 192],
        max_objs=3,
        activation={"hm": "applied"},
        weights={"hm": 0.5, "reg": 0.0, "wh": 0.3, "tracking": 1.0, "ltrb_amodal": 2.0},
    )
    model = export("generic_loss", recipe)
    spec = GRAPHS["generic_loss"].spec(recipe)
    assert [value.name for value in model.graph.input] == [tensor.name for tensor in spec.inputs]
    for batch in (1, 2, 3):
        assert_right("generic_loss", recipe, model, feeds("generic_loss", recipe, seed=batch, batch=batch))


@pytest.mark.parametrize("target", ["ort", "jetpack5"])
@pytest.mark.parametrize("graph", NAMES)
def test_nothing_in_the_file_says_where_it_was_made(graph: str, target: str, small_recipe, export) -> None:
    content = export(graph, small_recipe, target=target).SerializeToString()
    places = [
        str(ROOT),
        str(Path.home()),
        sys.prefix,
        sys.base_prefix,
        "site-packages",
        "stack_trace",
        'File "',
        "0x7f",
    ]
    assert [place for place in places if place.encode() in content] == []


def test_a_node_says_which_line_it_came_from(small_recipe, export) -> None:
    model = export("generic_loss", small_recipe)
    origins = {entry.key: entry.value for node in model.graph.node for entry in node.metadata_props}
    assert set(origins) == {"lossrt.torch_op", "lossrt.source"}
    sources = [e.value for node in model.graph.node for e in node.metadata_props if e.key == "lossrt.source"]
    assert all(re.fullmatch(r"\w+\.py:\d+ \w+", source) for source in sources)
    assert {source.split(":")[0] for source in sources} == {"gather.py", "generic.py"}


def test_inner_names_never_meet_names_on_the_wire(small_recipe, export) -> None:
    for graph in NAMES:
        model = export(graph, small_recipe)
        inner = {name for node in model.graph.node for name in node.output} - {out.name for out in model.graph.output}
        assert not inner & {tensor.name for tensor in GRAPHS["generic_loss"].spec(small_recipe).inputs}


ONE_GRAPH = """
import sys
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS
from lossrt.recipe import load_recipe

recipe = load_recipe("mot17", input=(136, 240), max_objs=32, batch=3)
model = onnx_from_graph(GRAPHS["reg_weighted_l1"], recipe, options=ExportOptions())
sys.stdout.buffer.write(model.SerializeToString(deterministic=True))
"""


def test_the_same_export_gives_the_same_bytes(small_recipe, small_bundle) -> None:
    again = onnx_from_graph(GRAPHS["reg_weighted_l1"], small_recipe, options=ExportOptions()).SerializeToString()
    written = small_bundle.graph_path("reg_weighted_l1", "fp32").read_bytes()
    assert hashlib.sha256(again).digest() == hashlib.sha256(written).digest()
    elsewhere = subprocess.run(
        [sys.executable, "-c", ONE_GRAPH],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        timeout=120,
    )
    assert elsewhere.stdout == written, elsewhere.stderr[-2000:]
    assert elsewhere.stderr == b""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "jetson"}, "target 'jetson': unknown; "),
        (
            {"gather": "functions"},
            "gather 'functions': unknown; did you mean 'function'? valid: flat, function, inline",
        ),
        ({"dynamic": ("batches",)}, "dynamic 'batches': unknown; did you mean 'batch'? valid: batch, map, objects"),
    ],
    ids=["target", "gather", "dynamic"],
)
def test_unknown_options(options, message: str) -> None:
    with pytest.raises(InputError) as caught:
        ExportOptions(**options)
    assert str(caught.value).startswith(message)


def test_options_say_what_they_mean() -> None:
    assert ExportOptions().open_dims == {"B"}
    assert ExportOptions(dynamic=ALL_OPEN).open_dims == {"B", "M", "H", "W"}
    assert ExportOptions(dynamic=()).open_dims == frozenset()
    assert ExportOptions().gather_written == "function"
    assert ExportOptions(target="jetpack5").gather_written == "function, inlined"
    assert ExportOptions(target="jetpack5", gather="flat").gather_written == "flat"
    assert ExportOptions(target="rtx", gather="inline").gather_written == "inline"
