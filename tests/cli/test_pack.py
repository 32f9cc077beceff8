import hashlib
import json
import shutil
from pathlib import Path

import pytest

from lossrt.bundle import Bundle, open_bundle, pack_bundle, replace_file
from lossrt.cli.opened import opened
from lossrt.device.build import engine_notes
from tests.device.bundles import l1_bundle
from tests.runtime.graphs import needs_rtx

OTHER = "0" * 64


@pytest.fixture
def own(tmp_path: Path) -> Bundle:
    """A bundle of one small graph."""
    return l1_bundle(tmp_path / "own")


@pytest.fixture
def packed(own: Bundle, tmp_path: Path) -> Path:
    pack_bundle(own, tmp_path / "own.lossrt")
    return tmp_path / "own.lossrt"


def test_pack_says_what_it_wrote(run, own, tmp_path):
    path = tmp_path / "deep" / "own.lossrt"
    code, out, _ = run("pack", own.root, "-o", path)
    assert code == 0
    assert out.startswith(f"wrote {path}: {path.stat().st_size:,} bytes")
    assert out.rstrip().endswith(f"--trust {own.bundle_id}")
    data = json.loads(run("pack", own.root, "-o", path, "--json")[1])
    content = path.read_bytes()
    assert data == {
        "file": str(path),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bundle_id": own.bundle_id,
    }
    assert run("pack", path, "-o", tmp_path / "again.lossrt")[0] == 0
    assert (tmp_path / "again.lossrt").read_bytes() == content


def test_a_changed_file_ends_every_verb(run, packed, tmp_path):
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    packed.write_bytes(content)
    model = tmp_path / "own" / "graphs" / "l1.fp32.onnx"
    verbs = [
        ("validate", packed, "--out", tmp_path / "o"),
        ("build", packed, "--out", tmp_path / "o"),
        ("report", packed, "--out", tmp_path / "o"),
        ("bench", packed),
        ("cost", packed),
        ("cost", tmp_path / "own", "--against", packed),
        ("bisect", packed, "--graph", "l1", "--model", model),
        ("search", packed, "--graph", "l1"),
        ("precision", model, "--bundle", packed),
        ("pack", packed, "-o", tmp_path / "o.lossrt"),
    ]
    for words in verbs:
        code, _, err = run(*words)
        assert code == 2, words
        assert "its bytes are not those that the digest at its end was taken of" in err, words
    assert not (tmp_path / "o").exists()


def test_a_packed_bundle_is_validated_and_reported(run, small_bundle, tmp_path):
    path, place = tmp_path / "small.lossrt", tmp_path / "o"
    pack_bundle(small_bundle, path)
    words = ("--graph", "reg_weighted_l1")
    code, out, _ = run("validate", path, *words, "--out", place, "--trust", small_bundle.bundle_id)
    assert code == 0
    assert " pass, 0 warn, 0 fail" in out
    assert json.loads((place / "report.json").read_text())["bundle_id"] == small_bundle.bundle_id
    (place / "report.md").unlink()
    code, out, _ = run("report", path, "--out", place)
    assert code == 0
    assert (place / "report.md").is_file()
    code, out, _ = run("report", path, "--out", place, "--kappa", 2)
    assert code == 0
    assert run("report", path, place / "report.json", "--out", place)[0] == 0
    model = small_bundle.graph_path("reg_weighted_l1", "fp32")
    assert run("bisect", path, "--graph", "reg_weighted_l1", "--model", model)[:2] == (0, "no node differs\n")
    assert run("search", path, "--graph", "reg_weighted_l1", "--iterations", 3)[0] == 0
    assert run("precision", model, "--bundle", path)[0] == 0
    code, _, err = run("validate", path, "--graph", "regg", "--out", place)
    assert (code, f"not in bundle {path}" in err) == (2, True)


def test_the_report_of_another_bundle(run, packed, tmp_path, small_bundle):
    place = tmp_path / "o"
    assert run("validate", small_bundle.root, "--graph", "gather_feat", "--out", place)[0] == 0
    code, _, err = run("report", packed, "--out", place)
    assert code == 2
    assert f"got one of {small_bundle.bundle_id}; run `lossrt validate {packed} --out {place}`" in err


@pytest.mark.parametrize(
    ("words", "what"),
    [(("validate",), "reports"), (("build",), "engines"), (("report",), "reports")]
    + [(("validate", "--backend", backend), "engines") for backend in ("rtx", "tensorrt")],
    ids=["validate", "build", "report", "rtx", "tensorrt"],
)
def test_a_packed_bundle_needs_a_place(run, packed, words, what):
    code, _, err = run(words[0], packed, *words[1:])
    assert code == 2
    assert f"own.lossrt': packed, so that its {what} need a folder of their own: pass --out DIR" in err


@needs_rtx
@pytest.mark.parametrize("which", ["packed", "folder"])
def test_engines_of_a_packed_bundle_lie_elsewhere(run, own, packed, tmp_path, which):
    source, place = (packed if which == "packed" else own.root), tmp_path / "o"
    ada = ("--compute-capability", "8.9")
    assert run("build", source, "--out", place, *ada)[0] == 0
    engine = place / "engines" / "l1.fp32.rtx-sm89.engine"
    before = engine.stat().st_mtime_ns
    assert run("build", source, "--out", place, *ada)[0] == 0
    assert engine.stat().st_mtime_ns == before
    assert not (own.root / "engines").exists()
    assert [note.record.identity.graph for note in engine_notes(opened(source, out=place))] == ["l1"]
    assert engine_notes(opened(source)) == []
    code, out, _ = run("cost", source, *ada, "--json")
    assert (code, len(json.loads(out)["rows"])) == (0, 1)


@pytest.mark.parametrize("which", ["folder", "packed"])
def test_trust_names_the_bundle(run, own, packed, which):
    path = own.root if which == "folder" else packed
    words = ("bisect", path, "--graph", "l1", "--model", own.graph_path("l1", "fp32"))
    assert run(*words, "--trust", own.bundle_id)[0] == 0
    code, _, err = run(*words, "--trust", OTHER)
    assert code == 2
    assert f"expected id {OTHER}, got {own.bundle_id}" in err


def test_a_library_and_a_bundle_are_trusted_side_by_side(run, own, tmp_path):
    library = tmp_path / "lib.so"
    library.write_bytes(b"code")
    digest = hashlib.sha256(b"code").hexdigest()
    words = ("build", own.root, "--trtexec", "--plugin", library, "--trust", digest)
    assert run(*words)[0] == 0
    assert run(*words, "--trust", own.bundle_id)[0] == 0
    code, _, err = run(*words, "--trust", OTHER)
    assert (code, f"expected id {OTHER}, got" in err) == (2, True)


def test_an_engine_is_trusted_beside_its_bundle(run, own):
    replace_file(own.root / "engines" / "l1.engine", b"\x7fengine")
    digest = hashlib.sha256(b"\x7fengine").hexdigest()
    assert run("build", own.root, "--trtexec", "--trust", digest)[0] == 0


def test_a_manifest_that_poses_as_an_engine_does_not_stand_for_its_bundle(run, own, tmp_path):
    """Else a forged bundle could carry the id that --trust names in a file of its own."""
    forged = l1_bundle(tmp_path / "forged", low=2e-4)
    (forged.root / "engines").mkdir()
    shutil.copy(own.root / "manifest.json", forged.root / "engines" / "l1.engine")
    code, _, err = run("build", forged.root, "--trtexec", "--trust", own.bundle_id)
    assert code == 2
    assert f"expected id {own.bundle_id}, got {open_bundle(forged.root).bundle_id}" in err


def test_where_engines_lie(own, packed, tmp_path):
    place = tmp_path / "o"
    for source in (packed, own.root):
        assert opened(source, engines=place).engines == place / "engines"
    assert opened(packed, out=place).engines == place / "engines"
    assert opened(own.root, out=place).engines == own.root / "engines"
    (place / "engines").mkdir(parents=True)
    assert opened(own.root, out=place).engines == place / "engines"


def test_a_verb_without_an_out_of_its_own_asks_for_the_engines(run, small_bundle, tmp_path):
    pack_bundle(small_bundle, tmp_path / "small.lossrt")
    words = ("evaluate", tmp_path / "small.lossrt", "--generate", 2, "--backend", "rtx")
    code, _, err = run(*words)
    assert code == 2
    assert "packed, so that its engines lie elsewhere: pass --engines DIR" in err
