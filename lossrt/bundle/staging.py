"""Writing files that belong together: all of them whole before the first is moved into place."""

__all__ = ["staged"]

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lossrt.errors import StorageError


@contextmanager
def staged(folder: Path, *, out: Path | None = None, option: str = "-o") -> Iterator[Path]:
    """Yield an empty folder whose files are moved below `folder` when the block ends, and removed when it fails.

    Args:
        folder: Where the files go; what has the same name there is replaced.
        out: What messages call the output; `folder` without it.
        option: What chooses its place, for messages.

    Raises:
        StorageError: The disk refused; what lay in `folder` before is as it was.
    """
    scratch: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.resolve().name}.", dir=folder))
        yield scratch
        # The model comes last: it names the files that hold its weights.
        files = sorted((path for path in scratch.rglob("*") if path.is_file()), key=lambda p: (p.suffix == ".onnx", p))
        places = [folder / path.relative_to(scratch) for path in files]
        for path, place in zip(files, places, strict=True):
            _finish(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                raise StorageError(
                    f"output '{place}': expected a file or nothing there, got a folder; choose another {option}"
                )
        for path, place in zip(files, places, strict=True):
            path.replace(place)
    except OSError as error:
        raise StorageError(
            f"output '{out or folder}': writing failed: {error}; free space or choose another folder with {option}"
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _finish(path: Path) -> None:
    """Bring a file to the disk, with the mode that every file of ours has: onnx gives external data to its owner alone."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    path.chmod(0o644)
