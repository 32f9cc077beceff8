import hashlib
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from lossrt.bundle import Bundle, open_bundle, pack_bundle, replace_file, write_bundle
from lossrt.bundle import pack as pack_module
from lossrt.errors import InputError, StorageError
from tests.bundle.samples import GRAPH, edit_manifest, fill, listing


def test_any_zip_tool_reads_it(bundle: Bundle, tmp_path: Path) -> None:
    digest = pack_bundle(bundle, tmp_path / "toy.lossrt")
    content = (tmp_path / "toy.lossrt").read_bytes()
    assert digest == hashlib.sha256(content).hexdigest()
    assert content[-64:].decode() == hashlib.sha256(content[:-64]).hexdigest()
    with zipfile.ZipFile(tmp_path / "toy.lossrt") as archive:
        assert archive.testzip() is None
        assert archive.comment == b"lossrt pack 1 sha256 " + content[-64:]
        names = archive.namelist()
        assert names == ["manifest.json", *sorted(bundle.manifest.files)]
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.external_attr >> 16 == 0o100644
            assert archive.read(info) == (bundle.root / info.filename).read_bytes()
        archive.extractall(tmp_path / "by-zip")
    assert open_bundle(tmp_path / "by-zip").bundle_id == bundle.bundle_id


def test_the_same_bundle_gives_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    pack_bundle(bundle, tmp_path / "one.lossrt")
    shutil.copytree(bundle.root, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (time.time() - 1e7, 0))
        path.chmod(0o700)
    replace_file(tmp_path / "copy" / "engines" / "toy.engine", b"left at home")
    pack_bundle(open_bundle(tmp_path / "copy"), tmp_path / "two.lossrt")
    pack_bundle(open_bundle(tmp_path / "two.lossrt"), tmp_path / "three.lossrt")
    one, two, three = ((tmp_path / f"{name}.lossrt").read_bytes() for name in ("one", "two", "three"))
    assert one == two == three


def test_names_of_any_language(tmp_path: Path) -> None:
    def with_more(root: Path):
        (root / "baselines" / "größe").mkdir(parents=True)
        (root / "baselines" / "größe" / "損失.onnx").write_bytes(b"")
        return fill(root)

    bundle = write_bundle(tmp_path / "out", with_more)
    pack_bundle(bundle, tmp_path / "toy.lossrt")
    opened = open_bundle(tmp_path / "toy.lossrt")
    assert opened.manifest == bundle.manifest
    with zipfile.ZipFile(tmp_path / "toy.lossrt") as archive:
        assert "baselines/größe/損失.onnx" in archive.namelist()


def test_a_file_that_changed_since_it_was_opened(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.root / GRAPH).write_bytes(b"other")
    with pytest.raises(InputError, match=rf"file '{GRAPH}': changed meanwhile; pack it again"):
        pack_bundle(bundle, tmp_path / "toy.lossrt")
    assert not (tmp_path / "toy.lossrt").exists()


def test_a_manifest_that_changed_since_it_was_opened(bundle: Bundle, tmp_path: Path) -> None:
    edit_manifest(bundle, lambda data: data.update(seed=4))
    with pytest.raises(InputError, match=r"file 'manifest\.json': changed meanwhile"):
        pack_bundle(bundle, tmp_path / "toy.lossrt")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("out", "expected a file or nothing there, got a folder"),
        ("out/graphs/toy.lossrt", "lies in the bundle"),
        ("out/cases/toy.fp32/x", "lies in the bundle"),
        ("out/manifest.json", "lies in the bundle"),
        ("out/toy.lossrt", "lies in the bundle"),
        ("out/manifest.json/toy.lossrt", "is a file, so that nothing can lie below it"),
    ],
)
def test_the_file_does_not_go_into_the_bundle(bundle: Bundle, tmp_path: Path, place: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        pack_bundle(bundle, tmp_path / place)
    assert open_bundle(bundle.root) == bundle


def test_a_packed_bundle_is_not_packed_onto_itself(bundle: Bundle, tmp_path: Path) -> None:
    pack_bundle(bundle, tmp_path / "toy.lossrt")
    packed = open_bundle(tmp_path / "toy.lossrt")
    with pytest.raises(InputError, match="is the packed bundle itself"):
        pack_bundle(packed, tmp_path / "toy.lossrt")


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILES", 3), ("MAX_BYTES", (1 << 20) + 4096 * 4)])
def test_a_bundle_that_is_too_large(bundle: Bundle, tmp_path: Path, monkeypatch, limit: str, value: int) -> None:
    monkeypatch.setattr(pack_module, limit, value)
    with pytest.raises(InputError, match="a packed one holds at most"):
        pack_bundle(bundle, tmp_path / "toy.lossrt")


def test_a_full_disk_leaves_the_older_file(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_bundle(bundle, tmp_path / "toy.lossrt")
    before = listing(tmp_path)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"output '.*toy\.lossrt': writing failed: .*No space left on device"):
        pack_bundle(bundle, tmp_path / "toy.lossrt")
    assert listing(tmp_path) == before
