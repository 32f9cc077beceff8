import hashlib
import json

import pytest

from lossrt.device import build
from lossrt.device.build import BuildOptions, build_engines, engine_notes
from lossrt.errors import BackendError
from lossrt.runtime import engines
from tests.device.bundles import l1_bundle
from tests.runtime.graphs import needs_rtx

pytestmark = needs_rtx

ADA = BuildOptions("rtx", ("8.9",))
ENGINE = "l1.fp32.rtx-sm89.engine"


@pytest.fixture
def builds(monkeypatch):
    """Names of the models that are compiled, not reused."""
    compiled = []
    compile_onnx = engines.compile_onnx

    def counted(*arguments, **options):
        compiled.append(options["name"])
        return compile_onnx(*arguments, **options)

    monkeypatch.setattr(engines, "compile_onnx", counted)
    return compiled


def test_the_json_says_everything_that_an_engine_was_built_from(tmp_path):
    bundle = l1_bundle(tmp_path / "own", target="rtx")
    [note] = build_engines(bundle, options=BuildOptions("rtx", ("8.9",), workspace_bytes=1 << 20, keep_log=True))
    folder = bundle.root / "engines"
    record = json.loads((folder / ENGINE).with_suffix(".json").read_text())
    identity = record["identity"]
    assert identity["onnx_sha256"] == hashlib.sha256(bundle.graph_path("l1", "fp32").read_bytes()).hexdigest()
    assert (identity["recipe"], identity["target"]) == ("own", "rtx")
    assert (identity["backend"], identity["compute_capability"]) == ("rtx", "8.9")
    assert identity["backend_version"]
    assert identity["profile"]["pred"] == [[1, 4], [10, 4], [10, 4]]
    assert "WORKSPACE=1048576" in record["flags"]
    assert record["engine_sha256"] == hashlib.sha256((folder / ENGINE).read_bytes()).hexdigest()
    [kernel] = record["cost"]["kernels"]
    assert {"difference", "masked", "loss"} <= set(kernel["onnx_nodes"])
    assert record["cost"]["scratch_bytes"] == 0
    assert "LayerType" in (folder / record["log"]).read_text()
    assert note.dims == "B=1..10"


def test_only_what_changed_is_built_again(tmp_path, builds, monkeypatch):
    bundle = l1_bundle(tmp_path / "own")
    build_engines(bundle, options=ADA)
    build_engines(bundle, options=ADA)
    assert len(builds) == 1
    build_engines(bundle, options=BuildOptions("rtx", ("8.9",), workspace_bytes=1 << 20))
    assert len(builds) == 2
    build_engines(l1_bundle(tmp_path / "own", low=2e-4), options=ADA)
    assert len(builds) == 3
    build_engines(l1_bundle(tmp_path / "own", low=2e-4, target="jetpack6"), options=ADA)
    assert len(builds) == 4
    monkeypatch.setattr(engines, "backend_version", lambda backend: "9.9.9")
    build_engines(l1_bundle(tmp_path / "own", low=2e-4, target="jetpack6"), options=ADA)
    assert len(builds) == 5


def test_two_builds_are_byte_identical(tmp_path):
    digests = {
        build_engines(l1_bundle(tmp_path / name), options=ADA)[0].record.engine_sha256 for name in ("one", "two")
    }
    assert len(digests) == 1


def test_an_engine_from_another_machine_is_reused_only_where_its_digest_is_trusted(tmp_path, builds):
    bundle = l1_bundle(tmp_path / "own")
    [note] = build_engines(bundle, options=ADA)
    path = (bundle.root / "engines" / ENGINE).with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"machine": "0" * 16}))
    build_engines(bundle, options=BuildOptions("rtx", ("8.9",), trust=(note.record.engine_sha256,)))
    assert len(builds) == 1
    [again] = build_engines(bundle, options=ADA)
    assert len(builds) == 2
    assert again.record.machine != "0" * 16
    assert [entry.record for entry in engine_notes(bundle)] == [again.record]


def test_a_failed_build_names_the_graph_and_stops(tmp_path):
    with pytest.raises(BackendError, match=r"graph 'l1\.fp32'|8\.7"):
        build_engines(l1_bundle(tmp_path / "own"), options=BuildOptions("rtx", ("8.7",)))


def test_tensorrt_builds_one_at_a_time(tmp_path, monkeypatch):
    """It times kernels on the GPU: two at once would measure each other."""
    workers = []
    pool = build.ThreadPoolExecutor

    def counted(max_workers):
        workers.append(max_workers)
        return pool(max_workers)

    def refuse(*arguments, **options):
        raise BackendError("no GPU")

    monkeypatch.setattr(build, "ThreadPoolExecutor", counted)
    monkeypatch.setattr(build, "choose_backend", lambda name: "tensorrt")
    monkeypatch.setattr(build, "build_engine", refuse)
    with pytest.raises(BackendError, match=r"no GPU"):
        build_engines(l1_bundle(tmp_path / "own"))
    assert workers == [1]
