import ctypes
import hashlib
import json
import os
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from lossrt.bundle import Bundle, Case, GraphEntry, Manifest, file_digest, open_bundle, replace_file, write_bundle
from lossrt.errors import InputError, StorageError
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec
from tests.validators.samples import recipe_of

RECIPE = recipe_of(weights={"hm": 1.0, "reg": 1 / 3, "wh": 0.1, "tracking": 0.0, "ltrb_amodal": 0.1})
SPEC = GraphSpec(
    name="toy",
    inputs=(
        TensorSpec("pred", "float32", ("B", 3, "H", "W"), "prediction", 1e-4, 1 - 1e-4, "probability"),
        TensorSpec("ind", "int64", ("B", "17*M"), "target", 0, "H*W"),
    ),
    outputs=(OutputSpec("loss"), OutputSpec("gathered", ("B", "M", 3))),
    sizes=RECIPE.sizes,
)
CASE = Case(
    name="nominal",
    input={"pred": np.arange(6, dtype=np.float32).reshape(1, 2, 3).transpose(0, 2, 1), "ind": np.array([[3, 2**40]])},
    reference={"loss": np.array(np.nan, np.float32), "gathered": np.zeros((1, 0, 3), np.float32)},
    oracle={"loss": np.array(1 / 3)},
    scale={"loss": np.array(np.inf)},
    terms={"loss": np.array(7)},
)
GRAPH = "graphs/toy.fp32.onnx"


def fill(root: Path, *, content: bytes = b"graph") -> Manifest:
    for name in (GRAPH, "baselines/upstream.fp32.onnx"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    CASE.save(root / "cases" / "toy.fp32" / "nominal.safetensors")
    entry = GraphEntry(spec=SPEC, precisions=("fp32",), cases={"fp32": ("nominal",)}, exempt=("ind",))
    return Manifest(
        name="small",
        recipe=RECIPE,
        target="ort",
        gather="function",
        dynamic=("B",),
        annotations="generated",
        seed=3,
        graphs={"toy": entry},
        tools={"onnx": "1"},
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "out", fill)


def refusal(root: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_bundle(root)
    return str(caught.value)


def edit_manifest(bundle: Bundle, change) -> None:
    data = json.loads((bundle.root / "manifest.json").read_text())
    change(data)
    (bundle.root / "manifest.json").write_text(json.dumps(data))


def test_round_trip(bundle: Bundle) -> None:
    opened = open_bundle(bundle.root)
    assert opened == bundle
    assert opened.bundle_id == hashlib.sha256((bundle.root / "manifest.json").read_bytes()).hexdigest()
    assert opened.manifest.graphs["toy"].spec == SPEC
    assert opened.manifest.recipe == RECIPE
    assert set(opened.manifest.files) == {
        GRAPH,
        "baselines/upstream.fp32.onnx",
        "cases/toy.fp32/nominal.safetensors",
    }
    assert opened.graph_path("toy", "fp32").read_bytes() == opened.baseline_path("fp32").read_bytes() == b"graph"
    (case,) = opened.cases("toy", "fp32")
    assert case.name == "nominal"
    for section in ("input", "reference", "oracle", "scale", "terms"):
        arrays, expected = getattr(case, section), getattr(CASE, section)
        assert arrays.keys() == expected.keys()
        for name, array in expected.items():
            assert arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(arrays[name], array)


def test_the_manifest_says_its_schema_and_no_more_than_it_must(bundle: Bundle) -> None:
    data = json.loads((bundle.root / "manifest.json").read_text())
    assert data["schema"] == 1
    assert str(bundle.root.parent) not in json.dumps(data)


def test_unknown_graph(bundle: Bundle) -> None:
    with pytest.raises(InputError, match=r"graph 'toyy': not in bundle .*; it has: toy"):
        bundle.entry("toyy")


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int32, np.int64, np.float16, ml_dtypes.bfloat16, np.float32, np.float64], ids=str
)
def test_case_types(tmp_path: Path, dtype: type) -> None:
    array = np.array([[0, 1, 0], [1, 1, 3]]).astype(dtype)
    Case("odd", {"x": array, "scalar": array[1, 2]}).save(tmp_path / "odd.safetensors")
    loaded = Case.load(tmp_path / "odd.safetensors")
    assert loaded.name == "odd"
    assert loaded.input["x"].dtype == loaded.input["scalar"].dtype == dtype
    assert loaded.input["scalar"].shape == ()
    assert loaded.input["x"].tobytes() == array.tobytes()
    loaded.input["x"][0, 0] = 1  # a copy of its own, to be written to


def test_a_case_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"\x10\x00")
    with pytest.raises(InputError, match=r"case '.*bad\.safetensors': expected a safetensors file"):
        Case.load(path)
    Case("bad", {"x": np.zeros(4)}).save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="expected a safetensors file"):
        Case.load(path)
    path.unlink()
    with pytest.raises(InputError, match="expected a safetensors file"):
        Case.load(path)


@pytest.mark.parametrize("key", ["inputs/x", "input/", "x"])
def test_a_case_with_a_key_of_no_section(tmp_path: Path, key: str) -> None:
    from safetensors.numpy import save_file

    save_file({key: np.zeros(2)}, tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match=rf"key '{key}': expected input\|reference\|oracle\|scale\|terms/<name>"):
        Case.load(tmp_path / "odd.safetensors")


def test_no_bundle(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent").startswith(f"bundle '{tmp_path / 'absent'}': expected a manifest.json in it")
    assert "expected a manifest.json in it; make one with `lossrt export -o" in refusal(tmp_path)


@pytest.mark.parametrize("name", [GRAPH, "baselines/upstream.fp32.onnx", "cases/toy.fp32/nominal.safetensors"])
def test_a_changed_or_missing_file_is_named(bundle: Bundle, name: str) -> None:
    path = bundle.root / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert f"file '{name}': its SHA-256 is not the manifest's" in refusal(bundle.root)
    path.unlink()
    assert f"file '{name}': in the manifest, but missing" in refusal(bundle.root)


@pytest.mark.parametrize("name", ["graphs/other.onnx", "cases/toy.fp32/more.safetensors", "cases/.hidden"])
def test_a_file_that_the_manifest_does_not_know_is_named(bundle: Bundle, name: str) -> None:
    (bundle.root / name).write_bytes(b"")
    assert f"file '{name}': not in the manifest; remove it or export again" in refusal(bundle.root)


def test_engines_and_reports_come_later(bundle: Bundle) -> None:
    for name in ("engines/toy.fp32.rtx-sm89.engine", "reports/report.json"):
        replace_file(bundle.root / name, b"later")
    assert open_bundle(bundle.root) == bundle


def test_a_symbolic_link_is_no_file_of_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    path = bundle.root / GRAPH
    shutil.copy(path, tmp_path / "elsewhere")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert f"file '{GRAPH}': " in refusal(bundle.root)


def test_nor_is_a_file_below_a_linked_folder(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.root / "graphs").rename(tmp_path / "elsewhere")
    (bundle.root / "graphs").symlink_to(tmp_path / "elsewhere")
    assert f"file '{GRAPH}': " in refusal(bundle.root)


def test_a_bundle_may_itself_be_reached_by_a_link(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bundle.root)
    assert open_bundle(tmp_path / "link").bundle_id == bundle.bundle_id


@pytest.mark.parametrize(
    "name",
    ["../out2/x", "graphs/../../x", "/etc/hostname", "manifest.json", "engines/x", "graphs\\..\\x", ""],
    ids=["parent", "inside-parent", "absolute", "manifest", "engines", "backslash", "empty"],
)
def test_a_manifest_cannot_name_files_elsewhere(bundle: Bundle, name: str) -> None:
    edit_manifest(bundle, lambda data: data["files"].update({name: "0" * 64}))
    expected = f"file '{name}': a manifest may only name files below graphs, baselines, cases"
    assert expected in refusal(bundle.root)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["graphs"].update({"../../x": data["graphs"]["toy"]}),
        lambda data: data["graphs"]["toy"]["cases"].update({"fp32": ["nominal", "../../../x"]}),
        lambda data: data["graphs"]["toy"].update({"precisions": ["fp32", "../x"]}),
        lambda data: data["graphs"]["toy"]["cases"].update({"fp32": ["nominal", "absent"]}),
    ],
    ids=["graph-elsewhere", "case-elsewhere", "precision-elsewhere", "case-absent"],
)
def test_every_graph_and_case_of_a_manifest_has_its_digest(bundle: Bundle, change) -> None:
    edit_manifest(bundle, change)
    assert "expected among the manifest's files" in refusal(bundle.root)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda data: data.update(schema=2), "schema: "),
        (lambda data: data.update(extra=1), "extra: "),
        (lambda data: data.pop("recipe"), "recipe: Field required"),
        (lambda data: data["recipe"].update(batch=0), "recipe.batch: "),
        (lambda data: data["graphs"]["toy"]["spec"].pop("inputs"), "graphs.toy.spec.inputs: "),
    ],
    ids=["other-schema", "unknown-key", "no-recipe", "wrong-recipe", "no-inputs"],
)
def test_a_manifest_that_is_malformed(bundle: Bundle, change, where: str) -> None:
    edit_manifest(bundle, change)
    message = refusal(bundle.root)
    assert message.startswith(f"manifest '{bundle.root / 'manifest.json'}': {where}")
    assert message.endswith("; export again with this version")


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "rec', b"\xff\xfe", b"[]"], ids=repr)
def test_a_manifest_that_is_cut_off(bundle: Bundle, content: bytes) -> None:
    (bundle.root / "manifest.json").write_bytes(content)
    assert refusal(bundle.root).startswith(f"manifest '{bundle.root / 'manifest.json'}': document: ")


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_options: object())


@pytest.mark.parametrize("atomic", [True, False], ids=["one-system-call", "three-renames"])
def test_a_bundle_is_replaced_whole(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, atomic: bool) -> None:
    if not atomic:
        no_exchange(monkeypatch)
    replace_file(bundle.root / "engines" / "toy.engine", b"engine")
    replace_file(bundle.root / "reports" / "report.json", b"stale")
    written = write_bundle(bundle.root, lambda root: fill(root, content=b"newer"))
    assert open_bundle(bundle.root) == written
    assert written.graph_path("toy", "fp32").read_bytes() == b"newer"
    assert (bundle.root / "engines" / "toy.engine").read_bytes() == b"engine"
    assert not (bundle.root / "reports").exists()
    assert [path.name for path in bundle.root.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError], ids=lambda error: error.__name__)
def test_an_interrupted_write_leaves_the_old_bundle_and_nothing_else(bundle: Bundle, error: type) -> None:
    before = listing(bundle.root.parent)

    def stop(root: Path) -> Manifest:
        fill(root, content=b"half")
        raise error("stopped")

    with pytest.raises(StorageError if error is OSError else error, match="stopped"):
        write_bundle(bundle.root, stop)
    assert listing(bundle.root.parent) == before
    assert [path.name for path in bundle.root.parent.iterdir()] == ["out"]


def test_a_first_write_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def stop(root: Path) -> Manifest:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_bundle(tmp_path / "deep" / "out", stop)
    assert list((tmp_path / "deep").iterdir()) == []


def test_an_empty_folder_is_a_place_for_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert open_bundle(write_bundle(tmp_path / "out", fill).root)


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": b"years of work"},
        {"manifest.json": b'{"name": "a web page", "icons": []}', "thesis.tex": b"years of work"},
        {"manifest.json": b"not json", "thesis.tex": b"years of work"},
        {"manifest.json": b"[1, 2]"},
    ],
    ids=["no-manifest", "someone-elses-manifest", "broken-manifest", "list-manifest"],
)
def test_a_folder_of_someone_else_is_not_replaced(tmp_path: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        replace_file(tmp_path / "out" / name, content)
    with pytest.raises(InputError, match=r"output '.*out': exists and is not a bundle; choose another folder with -o"):
        write_bundle(tmp_path / "out", fill)
    assert listing(tmp_path / "out") == files
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_bundle_of_another_schema_may_be_replaced(bundle: Bundle) -> None:
    edit_manifest(bundle, lambda data: data.update(schema=99))
    assert open_bundle(write_bundle(bundle.root, fill).root)


def test_a_file_is_no_place_for_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="exists and is not a bundle"):
        write_bundle(tmp_path / "out", fill)
    with pytest.raises(StorageError, match=r"output '.*out/below': cannot be written: "):
        write_bundle(tmp_path / "out" / "below", fill)


def test_a_bundle_behind_a_link_is_replaced_where_it_lies(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bundle.root)
    write_bundle(tmp_path / "link", lambda root: fill(root, content=b"newer"))
    assert (bundle.root / GRAPH).read_bytes() == b"newer"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]
    assert (tmp_path / "link").is_symlink()


def test_the_working_folder_is_a_place_for_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "out"
    place.mkdir()
    monkeypatch.chdir(place)
    write_bundle(Path(), fill)
    assert open_bundle(place)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_permissions_are_those_of_any_file(bundle: Bundle) -> None:
    assert bundle.root.stat().st_mode & 0o777 == 0o755
    assert (bundle.root / "manifest.json").stat().st_mode & 0o777 == 0o644


def test_replace_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file"
    replace_file(path, b"old")
    assert path.read_bytes() == b"old"
    assert file_digest(path) == hashlib.sha256(b"old").hexdigest()

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
