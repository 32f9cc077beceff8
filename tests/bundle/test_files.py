import hashlib
import os
from pathlib import Path

import pytest

from lossrt.bundle import file_digest, replace_file


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
