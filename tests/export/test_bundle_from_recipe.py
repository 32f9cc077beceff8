import json
import math
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from lossrt.bundle import open_bundle
from lossrt.errors import InputError
from lossrt.export import bundle_from_recipe as module
from lossrt.export.bundle_from_recipe import bundle_from_recipe
from lossrt.export.cases import CASES, CaseSource, scene_source
from lossrt.export.onnx_from_graph import ExportOptions
from lossrt.recipe import Recipe, load_recipe
from lossrt.runtime.ort import OrtSession
from lossrt.spec import Estimate, GraphSpec, check_arrays, resolved_shape
from lossrt.validators.oracle.table import ORACLES
from lossrt.validators.parity import validate
from lossrt.validators.tolerances import judge
from tests.export.graphs import NAMES
from tests.models.samples import signature
from tests.validators.samples import recipe_of

MEGABYTE = 10**6


def export(recipe: Recipe, place: Path, **options):
    source = scene_source(recipe, seed=0)
    return bundle_from_recipe(recipe, place, oracles=ORACLES, source=source, options=ExportOptions(**options))


def test_the_bundle_opens_and_says_what_it_holds(small_bundle, small_recipe) -> None:
    manifest = open_bundle(small_bundle.root).manifest
    assert manifest.recipe == small_recipe
    assert (manifest.target, manifest.gather, manifest.dynamic) == ("ort", "function", ("B",))
    assert (manifest.annotations, manifest.seed) == ("generated", 0)
    assert {"lossrt", "torch", "onnx"} <= set(manifest.tools)
    assert list(manifest.graphs) == [*NAMES, "generic_loss_grad"]
    gradients = manifest.graphs["generic_loss_grad"]
    assert gradients.inputs_of == "generic_loss"
    assert gradients.cases == manifest.graphs["generic_loss"].cases
    for graph in NAMES:
        entry = manifest.graphs[graph]
        assert entry.spec == signature(graph, small_recipe)
        assert entry.precisions == ("fp32",)
        assert entry.cases["fp32"] == tuple(case for case in CASES if CASES[case].concerns(graph, small_recipe))
        assert entry.exempt == (("cat",) if "cat" in {tensor.name for tensor in entry.spec.inputs} else ())


def test_cases_have_two_images_nominal_the_recipes_and_single_one(small_bundle, small_recipe) -> None:
    for graph in NAMES:
        entry = small_bundle.entry(graph)
        sizes = {case.name: check_arrays(entry.spec, case.input)["B"] for case in small_bundle.cases(graph, "fp32")}
        assert sizes.pop("nominal") == (small_recipe.batch if graph == "generic_loss" else 2)
        assert sizes.pop("single") == 1
        assert {sizes[name] for name in ("empty", "full", "duplicates", "border", "saturated", "ignore")} == {2}


@pytest.mark.parametrize("graph", NAMES)
def test_every_golden_case_passes_in_onnx_runtime(small_bundle, graph: str) -> None:
    path = str(small_bundle.graph_path(graph, "fp32"))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    judged = 0
    for case in small_bundle.cases(graph, "fp32"):
        assert list(case.input) != []
        assert case.reference.keys() == case.oracle.keys() == case.scale.keys() == case.terms.keys() == set(names)
        for name, actual in zip(names, session.run(names, case.input), strict=True):
            estimate = Estimate(case.oracle[name], case.scale[name], int(case.terms[name]))
            verdict = judge(name, actual, estimate, reference=case.reference[name])
            assert verdict.verdict == "pass", (case.name, verdict)
            judged += 1
    assert judged >= 8


def test_nominal_is_within_a_millionth_and_saturated_within_two(small_bundle) -> None:
    session = onnxruntime.InferenceSession(
        str(small_bundle.graph_path("generic_loss", "fp32")), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    for case in small_bundle.cases("generic_loss", "fp32"):
        if limit := {"nominal": 1e-6, "saturated": 2e-6}.get(case.name):
            for name, actual in zip(names, session.run(names, case.input), strict=True):
                assert abs(float(actual) / float(case.oracle[name]) - 1) <= limit, (case.name, name)


def test_the_baseline_is_upstreams_formulation(small_bundle) -> None:
    model = onnx.load(small_bundle.baseline_path("fp32"))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("GatherElements") == 6, "five heads, and the class"
    names = [output.name for output in session.get_outputs()]
    assert names == [output.name for output in small_bundle.entry("generic_loss").spec.outputs]
    (case,) = [case for case in small_bundle.cases("generic_loss", "fp32") if case.name == "full"]
    for name, actual in zip(names, session.run(names, case.input), strict=True):
        np.testing.assert_allclose(actual, case.oracle[name], rtol=1e-5)


def bytes_of_cases(recipe: Recipe, graph: str) -> int:
    """Return what the cases of a graph hold: inputs, and of every output two float64 arrays, one float32 and a count."""
    spec: GraphSpec = signature(graph, recipe)
    total = 0
    for case in CASES.values():
        if case.concerns(graph, recipe):
            sizes = recipe.sizes | {"B": case.images(graph, recipe)}
            for tensor in spec.inputs:
                total += math.prod(resolved_shape(tensor.dims, sizes)) * np.dtype(tensor.dtype).itemsize
            total += sum(math.prod(resolved_shape(output.dims, sizes)) * 20 + 8 for output in spec.outputs)
    return total


def test_a_mot17_bundle_stays_under_64_megabytes(small_bundle, small_recipe) -> None:
    arithmetic = sum(bytes_of_cases(small_recipe, graph) for graph in NAMES)
    files = list((small_bundle.root / "cases").rglob("*.safetensors"))
    headers = sum(path.stat().st_size for path in files) - arithmetic
    assert 0 < headers < 4096 * len(files), "the arithmetic is that of the files"
    graphs = sum(
        path.stat().st_size for part in ("graphs", "baselines") for path in (small_bundle.root / part).iterdir()
    )
    mot17 = load_recipe("mot17")
    assert sum(bytes_of_cases(mot17, graph) for graph in NAMES) + headers + 2 * graphs < 64 * MEGABYTE


@pytest.fixture
def gather_only(monkeypatch: pytest.MonkeyPatch, small_bundle) -> None:
    """Export one cheap graph and no baseline, where the test is about everything around the graphs."""
    model = onnx.load(small_bundle.baseline_path("fp32"))
    monkeypatch.setattr(module, "graph_names", lambda _recipe: ("gather_feat",))
    monkeypatch.setattr(module, "onnx_from_module", lambda *_arguments, **_options: model)


def test_a_static_graph_gets_cases_of_its_own_batch(tmp_path: Path, gather_only) -> None:
    recipe = recipe_of(batch=3)
    bundle = export(recipe, tmp_path / "static", target="jetpack5", gather="flat", dynamic=())
    assert (bundle.manifest.dynamic, bundle.manifest.gather) == ((), "flat")
    cases = list(bundle.cases("gather_feat", "fp32"))
    assert {case.input["feat"].shape[0] for case in cases} == {3}


def test_weight_0_takes_a_head_out_of_the_bundle(tmp_path: Path, gather_only) -> None:
    recipe = recipe_of(weights={"hm": 1.0, "reg": 0.0, "wh": 0.0, "tracking": 0.0, "ltrb_amodal": 0.0})
    bundle = export(recipe, tmp_path / "out")
    assert bundle.entry("gather_feat").spec.input("feat").dims == ("B", 3, "H", "W")
    for case in bundle.cases("gather_feat", "fp32"):
        np.testing.assert_array_equal(case.reference["gathered"], case.oracle["gathered"].astype(np.float32))


def test_the_same_request_gives_the_same_bundle_and_reports_its_progress(tmp_path: Path, gather_only) -> None:
    recipe, seen = recipe_of(), []
    first = export(recipe, tmp_path / "first")
    second = bundle_from_recipe(
        recipe,
        tmp_path / "second",
        oracles=ORACLES,
        source=scene_source(recipe, seed=0),
        progress=lambda what, done, total: seen.append((what, done / total)),
    )
    assert first.bundle_id == second.bundle_id
    assert first.manifest.files == second.manifest.files
    assert str(tmp_path) not in json.dumps(first.manifest.model_dump(mode="json"))

    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert {"case nominal", "graph gather_feat", "baseline upstream"} <= {what for what, _ in seen}


def test_what_fails_leaves_the_old_bundle(tmp_path: Path, small_bundle, gather_only) -> None:
    place = tmp_path / "out"
    shutil.copytree(small_bundle.root, place)
    recipe = recipe_of()
    wrong = {name: np.zeros((2, 1, 4, 6), np.float32) for name in ("pred_hm", "pred_reg")}
    source = CaseSource(scene_source(recipe, seed=0).pairs, 0, "mine", wrong)
    with pytest.raises(
        InputError, match=r"tensor 'feat': expected float32\[B=2, 2, H=4, W=6\], got float32\[2, 1, 4, 6\]"
    ):
        bundle_from_recipe(recipe, place, oracles=ORACLES, source=source)
    assert open_bundle(place).bundle_id == small_bundle.bundle_id
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_predictions_recorded_in_half_precision_are_widened_for_the_fp32_graph(tmp_path: Path, gather_only) -> None:
    recipe = recipe_of()
    recorded = {"pred_reg": np.full((2, 2, 4, 6), 0.1, np.float16)}
    source = CaseSource(scene_source(recipe, seed=0).pairs, 0, "mine", recorded)
    bundle = bundle_from_recipe(recipe, tmp_path / "out", oracles=ORACLES, source=source)
    (case,) = [case for case in bundle.cases("gather_feat", "fp32") if case.name == "nominal"]
    assert case.input["feat"].dtype == np.float32
    assert (case.input["feat"] == np.float16(0.1)).all()


@pytest.mark.parametrize(
    "changes",
    [{"max_objs": 1}, {"input": (4, 4)}, {"input": (4, 96), "batch": 1}],
    ids=["one-slot", "one-pixel", "one-row"],
)
def test_the_smallest_recipes_pass_the_gates(tmp_path, changes):
    recipe = load_recipe("mot17", **{"input": (64, 96), "max_objs": 3, "batch": 2, **changes})
    bundle = bundle_from_recipe(recipe, tmp_path / "b", oracles=ORACLES, source=scene_source(recipe, seed=0))
    results = validate(bundle, open_session=OrtSession)
    assert {result.verdict for result in results} <= {"pass", "warn"}


def test_fairmot_without_its_identities_keeps_its_uncertainties(tmp_path):
    weights = {"hm": 1.0, "wh": 0.1, "reg": 1.0, "id": 0.0}
    recipe = load_recipe("fairmot", input=(64, 96), max_objs=3, batch=2, weights=weights)
    bundle = bundle_from_recipe(recipe, tmp_path / "b", oracles=ORACLES, source=scene_source(recipe, seed=0))
    assert {"s_det", "s_id"} <= {tensor.name for tensor in bundle.entry("generic_loss").spec.inputs}
    assert {result.verdict for result in validate(bundle, open_session=OrtSession)} == {"pass"}
