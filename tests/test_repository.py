"""What may lie in the repository: text that people wrote. No binaries, no weights, no data."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 100_000  # bytes; the API dumps of TensorRT, with some 36 kB, are the largest


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="no git repository here")
def test_the_repository_holds_text_alone():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True)
    if listed.returncode:
        pytest.skip(f"git does not read this repository: {listed.stderr.strip()}")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert len(paths) > 100
    for path in paths:
        content = path.read_bytes()
        assert len(content) <= LARGEST, f"{path} is too large to have been written by hand"
        assert b"\0" not in content, f"{path} is no text"
        content.decode()
