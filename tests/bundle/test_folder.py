import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lossrt.bundle import Bundle, open_bundle, replace_file
from lossrt.errors import InputError
from tests.bundle.samples import CASE, GRAPH, RECIPE, SPEC, edit_manifest, refusal


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


@pytest.mark.parametrize("name", ["model.pkl", ".hidden", "more/run.py"])
def test_a_stranger_beside_the_manifest_is_named(bundle: Bundle, name: str) -> None:
    (bundle.root / name).parent.mkdir(exist_ok=True)
    (bundle.root / name).write_bytes(b"")
    assert f"'{name.partition('/')[0]}': expected nothing beside baselines, cases, engines" in refusal(bundle.root)


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
