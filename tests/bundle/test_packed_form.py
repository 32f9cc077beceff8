"""Files that are no packed bundle of ours, though their digest fits."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from lossrt.bundle import Bundle
from lossrt.bundle import unpack as unpack_module
from tests.bundle.packed import canonical, contents, replace, resealed, sealed, zipped
from tests.bundle.samples import GRAPH, refusal

DIGEST = "its bytes are not those that the digest at its end was taken of"


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "graphs/../../evil",
        "/tmp/evil",
        "graphs/..",
        "graphs\\..\\evil",
        "graphs/a\\..\\..\\evil",
        "C:\\evil",
        "graphs//evil",
        "graphs/./evil",
        "graphs/evil/",
        "./graphs/evil",
        "graphs",
        "",
        "engines/evil.engine",
        "reports/report.json",
        "manifest.json",
        "graphs/evil\0.onnx",
        "graphs/\u202ee",
        "graphs/" + 300 * "x",
    ],
    ids=repr,
)
def test_names_that_leave_the_folder(bundle: Bundle, tmp_path: Path, scratch: Path, name: str) -> None:
    """The manifest lists the file with its digest: nothing but the name is wrong."""
    (_, raw), *files = contents(bundle)
    manifest = json.loads(raw)
    manifest["files"][name] = hashlib.sha256(b"evil").hexdigest()
    whole = canonical([("manifest.json", json.dumps(manifest).encode()), *files, (name, b"evil")])
    reason = refusal(replace(tmp_path / "slip.lossrt", whole))
    reasons = (
        "the name leaves its folder",
        "the name is no name of a file",
        "only files below graphs, baselines, cases",
    )
    assert any(words in reason for words in reasons)
    assert list(scratch.iterdir()) == []
    assert not any("evil" in entry.name for entry in [*tmp_path.rglob("*"), *Path("/tmp").iterdir()])


def test_a_zip_slip_as_its_usual_tool_writes_it(bundle: Bundle, tmp_path: Path) -> None:
    path = replace(tmp_path / "slip.lossrt", zipped([*contents(bundle), ("../evil", b"evil")]))
    assert "copy it again" in refusal(path)
    assert not (tmp_path / "evil").exists()


def test_a_bomb(bundle: Bundle, tmp_path: Path, scratch: Path) -> None:
    def deflate(info: zipfile.ZipInfo) -> None:
        info.compress_type = zipfile.ZIP_DEFLATED

    content = zipped([*contents(bundle), ("graphs/bomb.onnx", bytes(64 << 20))], change=deflate)
    assert len(content) < 1 << 20
    assert "expected it stored as it is, got method 8" in refusal(replace(tmp_path / "bomb.lossrt", content))
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("size", [2**32 - 1, 10**6, 1])
def test_a_size_that_the_file_does_not_have(bundle: Bundle, tmp_path: Path, size: int) -> None:
    whole = bytearray(canonical(contents(bundle)))
    whole[18:26] = 2 * size.to_bytes(4, "little")
    assert refusal(replace(tmp_path / "x.lossrt", resealed(bytes(whole))))


def test_files_that_share_their_bytes(bundle: Bundle, tmp_path: Path) -> None:
    """Many entries of the directory over one content multiply a file without any compression."""
    files = contents(bundle)
    whole = canonical(files)
    more = canonical([*files, ("graphs/more.onnx", files[-1][1])])
    content = sealed(whole[: whole.index(b"PK\x01\x02")] + more[more.index(b"PK\x01\x02") : -64])
    assert "its directory is not the one that its files give" in refusal(replace(tmp_path / "x.lossrt", content))


def test_a_symbolic_link(bundle: Bundle, tmp_path: Path, scratch: Path) -> None:
    whole = bytearray(canonical(contents(bundle)))
    place = whole.rindex(b"PK\x01\x02") + 38
    assert whole[place : place + 4] == (0o100644 << 16).to_bytes(4, "little")
    whole[place : place + 4] = (0o120777 << 16).to_bytes(4, "little")
    path = replace(tmp_path / "x.lossrt", resealed(bytes(whole)))
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[-1].external_attr >> 28 == 0o12
    assert "its directory is not the one that its files give" in refusal(path)


@pytest.mark.parametrize("name", [GRAPH, GRAPH.upper(), f"{GRAPH}/below", "graphs"])
def test_two_files_of_one_place(bundle: Bundle, tmp_path: Path, scratch: Path, name: str) -> None:
    reason = refusal(replace(tmp_path / "x.lossrt", canonical([*contents(bundle), (name, b"other")])))
    assert any(
        word in reason for word in ("two of its files have one place", "only files below", "not in its manifest")
    )
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "offset"),
    [(b"PK\x01\x02", 46), (b"PK\x01\x02", 16), (b"PK\x01\x02", 42), (b"PK\x05\x06", 10), (b"PK\x05\x06", 16)],
    ids=["name", "crc", "place", "count", "directory"],
)
def test_a_directory_that_says_something_else(bundle: Bundle, tmp_path: Path, part: bytes, offset: int) -> None:
    whole = bytearray(canonical(contents(bundle)))
    whole[whole.rindex(part) + offset] ^= 1
    path = replace(tmp_path / "x.lossrt", resealed(bytes(whole)))
    assert "its directory is not the one that its files give" in refusal(path)


def test_a_checksum_that_no_other_tool_would_take(bundle: Bundle, tmp_path: Path, scratch: Path) -> None:
    whole = canonical(contents(bundle))
    crc = whole[14:18]
    assert whole.count(crc) == 2
    wrong = bytes([crc[0] ^ 1]) + crc[1:]
    path = replace(tmp_path / "x.lossrt", resealed(whole.replace(crc, wrong)))
    assert "file 'manifest.json': its CRC-32 is not the one in its header" in refusal(path)


def test_files_that_the_manifest_does_not_know_or_miss(bundle: Bundle, tmp_path: Path, scratch: Path) -> None:
    files = contents(bundle)
    more = canonical([*files, ("graphs/more.onnx", b"")])
    assert "file 'graphs/more.onnx': not in its manifest" in refusal(replace(tmp_path / "x.lossrt", more))
    less = canonical([file for file in files if file[0] != GRAPH])
    assert f"file '{GRAPH}': in its manifest, but missing" in refusal(replace(tmp_path / "x.lossrt", less))
    changed = canonical([(name, b"other" if name == GRAPH else content) for name, content in files])
    assert f"file '{GRAPH}': its SHA-256 is not the manifest's" in refusal(replace(tmp_path / "x.lossrt", changed))
    assert list(scratch.iterdir()) == []


def test_the_manifest_comes_first(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = contents(bundle)
    path = replace(tmp_path / "x.lossrt", canonical([*files[1:], files[0]]))
    assert "expected manifest.json of at most 16,777,216 bytes first" in refusal(path)
    monkeypatch.setattr(unpack_module, "MAX_MANIFEST", len(files[0][1]) - 1)
    assert "bytes first" in refusal(replace(path, canonical(files)))
