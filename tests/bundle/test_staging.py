"""Files that belong together: all of them arrive, or none."""

import errno
import os
from pathlib import Path

import pytest

from lossrt.bundle import staged
from lossrt.errors import StorageError


def test_all_files_arrive_with_the_same_mode(tmp_path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    with staged(tmp_path) as scratch:
        (scratch / "a.bin").write_bytes(b"new")
        (scratch / "below").mkdir()
        os.close(os.open(scratch / "below" / "b.bin", os.O_CREAT | os.O_WRONLY, 0o600))
        assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert (tmp_path / "below" / "b.bin").stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "below"]


def _write(folder: Path, *names: str, failure: BaseException | None = None) -> None:
    with staged(folder, out=folder / names[0]) as scratch:
        for name in names:
            (scratch / name).write_bytes(b"new")
        if failure:
            raise failure


@pytest.mark.parametrize(
    ("failure", "raised", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageError, r"a\.bin': writing failed: .*No space left"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
    ids=["full", "interrupted"],
)
def test_a_failure_leaves_what_was_there(tmp_path, failure, raised, message) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(raised, match=message):
        _write(tmp_path, "a.bin", failure=failure)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.bin": b"old"}


def test_a_folder_in_the_way_is_found_before_anything_moves(tmp_path) -> None:
    (tmp_path / "z.bin").mkdir()
    with pytest.raises(StorageError, match=r"z\.bin': expected a file or nothing there, got a folder"):
        _write(tmp_path, "a.bin", "z.bin")
    assert [path.name for path in tmp_path.iterdir()] == ["z.bin"]
