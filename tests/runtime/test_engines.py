import hashlib
import json
from pathlib import Path

import pytest

from lossrt.errors import BackendError, InputError, StorageError
from lossrt.runtime import engines
from lossrt.runtime.build_log import EngineCost, Kernel
from lossrt.runtime.compiler import Compiled
from lossrt.runtime.engine_record import EngineRecord, Origin, arch_name, check_fits
from lossrt.runtime.engines import build_engine, load_engine, read_records
from lossrt.runtime.profiles import ProfileRange
from tests.runtime.graphs import masked_l1, needs_rtx, relu, save

COST = EngineCost((Kernel("k", "kgen", ("masked",)),), (), 5632, 5632, 136)
ENGINE = "masked_l1.fp32.rtx-sm89.engine"


@pytest.fixture
def compiler(monkeypatch):
    """A stand-in for the compiler: an engine is the request, spelled out; `calls` counts builds."""
    calls = []

    def compile_onnx(content, **request):
        calls.append(request)
        return Compiled(repr((content, request)).encode(), "log", ("A FLAG",), {}, 0.5)

    monkeypatch.setattr(engines, "compile_onnx", compile_onnx)
    monkeypatch.setattr(engines, "choose_backend", lambda name: name or "rtx")
    monkeypatch.setattr(engines, "backend_version", lambda backend: "1.7.1")
    monkeypatch.setattr(engines, "parse_build_log", lambda log: COST)
    return calls


def built(folder, proto=None, **changes):
    options = {"graph": "masked_l1", "precision": "fp32", "compute_capability": "8.9", **changes}
    return build_engine(save(proto or masked_l1(), folder / "graph.onnx"), out_dir=folder / "engines", **options)


def test_the_record_says_what_was_built_from_what(compiler, tmp_path):
    record = built(tmp_path)
    path = tmp_path / "engines" / record.identity.file
    assert path.name == ENGINE
    assert record.engine_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record.identity.onnx_sha256 == hashlib.sha256((tmp_path / "graph.onnx").read_bytes()).hexdigest()
    assert record.bytes == path.stat().st_size
    assert (record.flags, record.cost, record.log) == (("A FLAG",), COST, None)
    assert EngineRecord.model_validate_json(path.with_suffix(".json").read_bytes()) == record
    assert sorted(p.name for p in path.parent.iterdir()) == [ENGINE, ENGINE.replace(".engine", ".json")]


def test_variants_of_a_graph_lie_side_by_side(compiler, tmp_path):
    content = masked_l1().SerializeToString()
    options = {"out_dir": tmp_path, "graph": "masked_l1", "precision": "fp32", "compute_capability": "8.9"}
    whole = build_engine(content, **options)
    fixed = build_engine(masked_l1(batch=1).SerializeToString(), variant="b1", **options)
    assert fixed.identity.file == "masked_l1.fp32.b1.rtx-sm89.engine"
    assert read_records(tmp_path) == [fixed, whole]
    (tmp_path / fixed.identity.file).write_bytes(b"other code")
    (tmp_path / "notes.json").write_text("{}")
    assert read_records(tmp_path) == [whole]
    assert read_records(tmp_path / "absent") == []


def test_the_same_request_is_not_built_twice(compiler, tmp_path):
    assert built(tmp_path) == built(tmp_path)
    assert len(compiler) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"proto": masked_l1(low=2e-4)},
        {"workspace_bytes": 1 << 20},
        {"origin": Origin("other", None, None)},
        {"origin": Origin("own", "ab" * 32, None)},
        {"origin": Origin("own", None, "jetpack6")},
        {"plugins": (Path(__file__),)},
        {"keep_log": True},
    ],
    ids=["a byte of the model", "a flag", "recipe", "a recipe's content", "target", "a plugin", "the log is wanted"],
)
def test_a_changed_request_is_built_again(compiler, tmp_path, change):
    first = built(tmp_path)
    second = built(tmp_path, **change)
    assert len(compiler) == 2
    if "keep_log" not in change:
        assert second.identity != first.identity
    assert built(tmp_path, **change) == second
    assert len(compiler) == 2


def test_a_changed_profile_is_built_again(compiler, tmp_path):
    first = built(tmp_path, relu(), profile={"B": ProfileRange(1, 2, 3)})
    second = built(tmp_path, relu(), profile={"B": ProfileRange(1, 2, 4)})
    assert first.identity.profile != second.identity.profile
    assert len(compiler) == 2


@pytest.mark.parametrize("name", ["backend_version", "ADAPTER"], ids=["compiler version", "adapter version"])
def test_a_changed_version_is_built_again(compiler, tmp_path, monkeypatch, name):
    built(tmp_path)
    monkeypatch.setattr(engines, name, 2 if name == "ADAPTER" else lambda backend: "1.8")
    built(tmp_path)
    assert len(compiler) == 2


@pytest.mark.parametrize("damage", ["engine", "json", "no engine", "no json"])
def test_a_damaged_engine_is_built_again(compiler, tmp_path, damage):
    record = built(tmp_path)
    path = tmp_path / "engines" / record.identity.file
    target = path if "engine" in damage else path.with_suffix(".json")
    target.unlink() if damage.startswith("no ") else target.write_bytes(b"{}")
    assert built(tmp_path) == record
    assert len(compiler) == 2
    assert load_engine(path)[1] == record


def test_an_engine_that_cannot_be_read_for_its_cost(compiler, tmp_path, monkeypatch):
    def refuse(log):
        raise BackendError("no listing")

    monkeypatch.setattr(engines, "parse_build_log", refuse)
    with pytest.raises(BackendError, match=r"no listing"):
        built(tmp_path)
    assert not (tmp_path / "engines").exists()
    monkeypatch.setattr(engines, "checked_capability", lambda backend, wanted: "8.7")
    record = built(tmp_path, backend="tensorrt")
    assert (record.cost, record.cost_unknown) == (None, "no listing")


def test_a_failed_build_leaves_the_older_engine(compiler, tmp_path, monkeypatch):
    record = built(tmp_path)

    def fail(content, **request):
        raise BackendError("no")

    monkeypatch.setattr(engines, "compile_onnx", fail)
    with pytest.raises(BackendError):
        built(tmp_path, masked_l1(low=1e-3))
    assert load_engine(tmp_path / "engines" / ENGINE)[1] == record


def test_a_name_that_leaves_the_folder_is_refused(compiler, tmp_path):
    with pytest.raises(InputError, match=r"engine name '\.\./up'"):
        built(tmp_path, graph="../up")


def test_a_folder_that_cannot_be_written_is_a_storage_error(compiler, tmp_path):
    (tmp_path / "engines").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"cannot be written"):
        built(tmp_path)


def test_a_swapped_engine_is_not_loaded(compiler, tmp_path):
    path = tmp_path / "engines" / built(tmp_path).identity.file
    path.write_bytes(b"other code")
    with pytest.raises(InputError, match=r"expected SHA-256 .* got .*; it was changed after the build"):
        load_engine(path)


def test_an_engine_from_elsewhere_needs_its_digest(compiler, tmp_path):
    record = built(tmp_path)
    path = tmp_path / "engines" / record.identity.file
    assert load_engine(path) == (path.read_bytes(), record)
    text = json.loads(path.with_suffix(".json").read_text()) | {"machine": "0" * 16}
    path.with_suffix(".json").write_text(json.dumps(text))
    for trust in ((), ("0" * 64,)):
        with pytest.raises(InputError, match=f"built on another machine.*--trust {record.engine_sha256}"):
            load_engine(path, trust=trust)
    assert load_engine(path, trust=(record.engine_sha256,))[0] == path.read_bytes()


def test_an_engine_from_elsewhere_is_built_again_unless_trusted(compiler, tmp_path):
    record = built(tmp_path)
    path = (tmp_path / "engines" / record.identity.file).with_suffix(".json")
    elsewhere = json.dumps(json.loads(path.read_text()) | {"machine": "0" * 16})
    path.write_text(elsewhere)
    built(tmp_path, trust=(record.engine_sha256,))
    assert len(compiler) == 1
    assert built(tmp_path) == record
    assert len(compiler) == 2


@pytest.mark.parametrize(
    ("capability", "version", "message"),
    [
        (
            "8.6",
            "1.7.1",
            r"engine 'e': built for compute capability 8\.9, and this GPU has 8\.6; run `lossrt build .* 8\.6`",
        ),
        ("8.9", "1.8.0", r"engine 'e': built by rtx 1\.7\.1, and 1\.8\.0 is installed here; .* `lossrt build BUNDLE`"),
    ],
    ids=["another architecture", "another version"],
)
def test_an_engine_that_does_not_fit_is_refused(compiler, tmp_path, capability, version, message):
    record = built(tmp_path)
    check_fits(record, compute_capability="8.9", version="1.7.1", name="engine 'e'")
    with pytest.raises(BackendError, match=message):
        check_fits(record, compute_capability=capability, version=version, name="engine 'e'")


def test_tensorrt_keeps_its_measured_times_in_the_users_cache(compiler, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(engines, "checked_capability", lambda backend, wanted: "8.7")
    built(tmp_path, backend="tensorrt")
    assert compiler[0]["timing_cache"] == tmp_path / "cache" / "lossrt" / "timing-1.7.1-sm87.cache"
    built(tmp_path, backend="rtx")
    assert compiler[1]["timing_cache"] is None


def test_an_engine_without_its_record_is_not_loaded(tmp_path):
    (tmp_path / "x.engine").write_bytes(b"code")
    with pytest.raises(InputError, match=r"expected the engine and the JSON beside it"):
        load_engine(tmp_path / "x.engine")


def test_architectures_as_file_names_have_them():
    assert [arch_name(capability) for capability in ("8.6", "8.9", "12.0")] == ["sm86", "sm89", "sm120"]


@needs_rtx
def test_a_real_engine_is_built_and_reused_byte_for_byte(tmp_path):
    first = built(tmp_path, keep_log=True)
    engine = (tmp_path / "engines" / ENGINE).read_bytes()
    assert first.cost is not None
    assert len(first.cost.kernels) == 1
    assert (tmp_path / "engines" / first.log).read_text().count("LayerType: kgen") == 1
    assert built(tmp_path, keep_log=True) == first
    (tmp_path / "engines" / ENGINE).unlink()
    again = built(tmp_path)
    assert (tmp_path / "engines" / ENGINE).read_bytes() == engine
    assert again.engine_sha256 == first.engine_sha256
