import ctypes
from pathlib import Path

import pytest

from lossrt.bundle import Bundle, Manifest, open_bundle, replace_file, write_bundle
from lossrt.errors import InputError, StorageError
from tests.bundle.samples import GRAPH, edit_manifest, fill, listing


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
