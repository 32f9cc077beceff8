import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lossrt.bundle import Bundle, Manifest, is_packed, open_bundle, pack_bundle, private, write_bundle
from lossrt.bundle import unpack as unpack_module
from lossrt.errors import InputError, StorageError
from tests.bundle.packed import canonical, contents, replace, resealed, sealed
from tests.bundle.samples import CASE, listing, refusal

DIGEST = "its bytes are not those that the digest at its end was taken of"


def test_a_packed_bundle_is_the_bundle(bundle: Bundle, packed: Path, scratch: Path) -> None:
    opened = open_bundle(packed)
    assert (opened.manifest, opened.bundle_id) == (bundle.manifest, bundle.bundle_id)
    assert (opened.packed, opened.packed_file, bundle.packed) == (True, packed, False)
    assert (opened.source, bundle.source) == (packed, bundle.root)
    assert listing(opened.root) == listing(bundle.root)
    [case] = opened.cases("toy", "fp32")
    np.testing.assert_array_equal(case.input["pred"], CASE.input["pred"])
    assert is_packed(packed)
    assert not is_packed(bundle.root)
    assert not is_packed(bundle.root / "manifest.json")


def test_only_this_user_can_enter_the_folder(packed: Path, scratch: Path) -> None:
    root = open_bundle(packed).root
    assert root.parent == scratch
    assert root.stat().st_mode & 0o777 == 0o700


def test_it_has_no_place_for_engines_of_its_own(bundle: Bundle, packed: Path) -> None:
    with pytest.raises(
        InputError, match=r"toy\.lossrt': packed, so that its engines lie elsewhere: pass --engines DIR"
    ):
        _ = open_bundle(packed).engines
    assert open_bundle(packed, out=Path("elsewhere")).engines == Path("elsewhere/engines")
    assert open_bundle(bundle.root, out=Path("elsewhere")).engines == Path("elsewhere/engines")
    assert bundle.engines == bundle.root / "engines"


LEAVING = """
import os, sys, tempfile
from pathlib import Path
from lossrt.bundle import open_bundle

tempfile.tempdir = sys.argv[2]
bundle = open_bundle(Path(sys.argv[1]))
if (child := os.fork()) == 0:
    sys.exit(0)  # runs what is registered for the end of the program
os.waitpid(child, 0)
print((bundle.root / "manifest.json").is_file())
raise SystemExit(3) if sys.argv[3] == "exit" else RuntimeError
"""


@pytest.mark.parametrize(("how", "code"), [("exit", 3), ("error", 1)])
def test_the_folder_goes_when_the_program_ends(packed: Path, scratch: Path, how: str, code: int) -> None:
    command = [sys.executable, "-c", LEAVING, str(packed), str(scratch), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout.strip()) == (code, "True"), done.stderr
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("which", ["folder", "packed"])
def test_the_sender_can_be_asked_for(bundle: Bundle, packed: Path, which: str, scratch: Path) -> None:
    path = bundle.root if which == "folder" else packed
    assert open_bundle(path, trust=("0" * 64, bundle.bundle_id.upper())).bundle_id == bundle.bundle_id
    count = len(list(scratch.iterdir()))
    with pytest.raises(InputError, match=f"expected id {'0' * 64}, got {bundle.bundle_id}; this is not the bundle"):
        open_bundle(path, trust=("0" * 64,))
    assert len(list(scratch.iterdir())) == count


def test_another_id_is_refused_before_the_manifest_is_parsed(bundle: Bundle, tmp_path: Path) -> None:
    path = replace(tmp_path / "x.lossrt", canonical([("manifest.json", b"no manifest"), *contents(bundle)[1:]]))
    with pytest.raises(InputError, match="this is not the bundle that --trust names"):
        open_bundle(path, trust=(bundle.bundle_id,))
    assert refusal(path).startswith(f"manifest '{path}/manifest.json': document: ")


def test_every_byte_counts(packed: Path, scratch: Path) -> None:
    content = packed.read_bytes()
    rng = random.Random(0)
    for index in range(len(content)):
        changed = bytearray(content)
        changed[index] ^= 1 << rng.randrange(8)
        replace(packed, bytes(changed))
        with pytest.raises(InputError, match=DIGEST):
            open_bundle(packed)
    replace(packed, content)
    assert open_bundle(packed)


def nominal_part(whole: Bundle, place: Path) -> Bundle:
    """The whole loss and its nominal case: 1,000 times the megabytes of everything else would take a minute."""
    entry = whole.entry("generic_loss").model_copy(update={"cases": {"fp32": ("nominal",)}})

    def fill(folder: Path) -> Manifest:
        for path in (
            whole.graph_path("generic_loss", "fp32"),
            whole.case_path("generic_loss", "fp32", "nominal"),
            whole.baseline_path("fp32"),
        ):
            target = folder / path.relative_to(whole.root)
            target.parent.mkdir(parents=True)
            shutil.copy(path, target)
        return whole.manifest.model_copy(update={"graphs": {"generic_loss": entry}})

    return write_bundle(place, fill)


def test_a_thousand_random_flips_in_a_real_bundle(small_bundle: Bundle, tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "small.lossrt"
    real = nominal_part(small_bundle, tmp_path / "real")
    pack_bundle(real, path)
    rng, refused = random.Random(1), 0
    with path.open("r+b") as stream:
        for _ in range(1000):
            place = rng.randrange(path.stat().st_size)
            stream.seek(place)
            [old] = stream.read(1)
            for byte in ((old + rng.randrange(1, 256)) % 256, old):
                stream.seek(place)
                stream.write(bytes([byte]))
                stream.flush()
                if byte != old:
                    with pytest.raises(InputError, match=DIGEST):
                        open_bundle(path)
                    refused += 1
    assert refused == 1000
    assert list(scratch.iterdir()) == []
    assert open_bundle(path).bundle_id == real.bundle_id


@given(data=st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_change_with_a_digest_that_fits_is_another_bundle(
    bundle: Bundle, packed: Path, scratch: Path, data: st.DataObject
) -> None:
    """Whoever changes the file can write its digest anew, but not keep the id that --trust asks for."""
    whole = canonical(contents(bundle))
    assert whole == packed.read_bytes()
    index = data.draw(st.integers(0, len(whole) - 65))
    byte = data.draw(st.integers(1, 255))
    changed = bytearray(whole)
    changed[index] = (changed[index] + byte) % 256
    path = replace(packed.with_name("changed.lossrt"), resealed(bytes(changed)))
    with pytest.raises(InputError):
        open_bundle(path, trust=(bundle.bundle_id,))
    assert list(scratch.iterdir()) == []


@given(cut=st.integers(0, 10**6), more=st.binary(max_size=40), fits=st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_off_or_longer(bundle: Bundle, tmp_path: Path, cut: int, more: bytes, fits: bool) -> None:
    whole = canonical(contents(bundle))
    changed = whole[: cut % (len(whole) + 1)] + more
    if changed == whole:
        return
    path = replace(tmp_path / "changed.lossrt", sealed(changed) if fits else changed)
    with pytest.raises(InputError):
        open_bundle(path)


@given(st.binary(max_size=400))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_with_a_digest_that_fits(tmp_path: Path, noise: bytes) -> None:
    for content in (noise, b"PK\x03\x04" + noise):
        with pytest.raises(InputError):
            open_bundle(replace(tmp_path / "noise.lossrt", sealed(content)))


def test_too_many_files_or_bytes(bundle: Bundle, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack_module, "MAX_FILES", 3)
    assert "is more than 3 files" in refusal(packed)
    monkeypatch.setattr(unpack_module, "MAX_BYTES", packed.stat().st_size - 1)
    assert "expected a packed bundle of at most" in refusal(packed)


def test_trailing_bytes_and_leading_ones(packed: Path) -> None:
    content = packed.read_bytes()
    for changed in (content + b"\n", content + content, b"\0" + content, content[:-1], content[1:], b"", b"PK"):
        assert refusal(replace(packed, changed))
    assert refusal(replace(packed, resealed(content[:-64] + b"more" + content[-64:])))
    assert refusal(replace(packed, resealed(b"\0" + content)))


def test_no_room_to_unpack(packed: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, mode: str = "r") -> None:
        raise OSError(28, "No space left on device")

    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r": full(path) if mode == "xb" else opened(path, mode))
    with pytest.raises(StorageError, match=r"toy\.lossrt': cannot be unpacked into .*No space left on device.*TMPDIR"):
        open_bundle(packed)
    assert list(scratch.iterdir()) == []


def test_swapping_the_file_after_its_digest_is_no_use(
    bundle: Bundle, packed: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = unpack_module.PackedFile._check_digest

    def swapped(self: unpack_module.PackedFile) -> int:
        end = check(self)
        packed.unlink()
        packed.write_bytes(b"another file")
        return end

    monkeypatch.setattr(unpack_module.PackedFile, "_check_digest", swapped)
    assert open_bundle(packed).bundle_id == bundle.bundle_id


def test_bytes_that_change_while_it_is_read(packed: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = unpack_module.PackedFile._check_digest

    def cut(self: unpack_module.PackedFile) -> int:
        end = check(self)
        content = packed.read_bytes()
        with packed.open("r+b") as stream:
            stream.seek(content.index(b"onnxgraph") + 4)
            stream.write(b"G")
        return end

    monkeypatch.setattr(unpack_module.PackedFile, "_check_digest", cut)
    assert "its CRC-32 is not the one in its header" in refusal(packed)
    assert list(scratch.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_cannot_be_read(packed: Path) -> None:
    packed.chmod(0)
    assert "cannot be read: Permission denied" in refusal(packed)


def test_the_id_is_the_manifests_digest(bundle: Bundle, packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert hashlib.sha256(archive.read("manifest.json")).hexdigest() == open_bundle(packed).bundle_id


def test_what_a_killed_process_left_is_removed_and_what_another_uses_is_not(
    bundle: Bundle, tmp_path: Path, monkeypatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    pack_bundle(bundle, tmp_path / "toy.lossrt")
    used = open_bundle(tmp_path / "toy.lossrt").root
    left, fresh, other = (place / f"{private.PREFIX}{name}" for name in ("left", "fresh", "other"))
    for folder in (left, fresh):
        (folder / "graphs").mkdir(parents=True)
    other.write_text("a file")
    long_ago = time.time() - 2 * private.GRACE_S
    for path in (used, left, other):
        os.utime(path, (long_ago, long_ago))
    again = open_bundle(tmp_path / "toy.lossrt").root
    assert sorted(place.iterdir()) == sorted([used, fresh, other, again])
