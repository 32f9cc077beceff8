"""Arrays of each frame on disk, up to a size: what the frozen part of a network gives is computed once.

Nothing is evicted during a run: frames come in turn, so that dropping the oldest would drop each just before it is due.
What does not fit is computed again whenever it is asked for.
"""

__all__ = ["FeatureCache", "read_frame_arrays"]

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from lossrt.arrays import read_arrays
from lossrt.bundle import replace_file
from lossrt.errors import InputError, StorageError

Arrays = dict[str, NDArray[Any]]
_OURS = re.compile(r"^(\.[0-9a-f]{64}\.safetensors\..+|[0-9a-f]{64}\.safetensors)$")
_HEADER = 4096  # bytes allowed for a file's names and shapes


class FeatureCache:
    """A folder of frames' arrays.

    Args:
        folder: Where they lie; made when the first one is written.
        limit: Bytes that they may take in all; infinity for any number.
        keys: SHA-256 of everything that each frame's arrays follow from, for this run's frames; entries of earlier runs
            make room, and so does what a killed run had begun to write; other files are left alone.

    Raises:
        InputError: The folder is a file.
    """

    def __init__(self, folder: Path, *, limit: float, keys: Collection[str]) -> None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--cache '{folder}': expected a folder, got a file; choose another one")
        self._folder, self._limit = folder, limit
        sizes = {path: path.stat().st_size for path in _entries(folder)}
        stale = [path for path in sizes if path.stem not in keys]
        for path in stale:
            path.unlink(missing_ok=True)
        self._used = sum(size for path, size in sizes.items() if path not in stale)

    def get(self, key: str) -> Arrays | None:
        """Return a frame's arrays; None where they are not here, or cannot be read."""
        path = self._path(key)
        try:
            return read_arrays(path, what="features") if path.is_file() else None
        except InputError:
            return None

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a frame's arrays, if there is room.

        Raises:
            StorageError: The disk refused.
        """
        size = sum(array.nbytes for array in arrays.values()) + _HEADER
        if self._used + size > self._limit:
            return
        try:
            replace_file(self._path(key), save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
        except OSError as error:
            raise StorageError(
                f"feature cache '{self._folder}': cannot be written: {error}; free space, choose another folder with --cache, or a smaller --cache-limit"
            ) from error
        self._used += size

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


def read_frame_arrays(path: Path) -> Arrays:
    """Read a frame's arrays that were computed elsewhere.

    Args:
        path: A `.safetensors` or `.npz` file.

    Raises:
        InputError: It is neither, or holds objects.
        StorageError: It cannot be read.
    """
    if path.suffix != ".npz":
        return read_arrays(path, what="features")
    try:
        with np.load(path, allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except OSError as error:
        raise StorageError(f"features '{path}': cannot be read: {error}; check its permissions") from error
    except Exception as error:  # a zip, a header or an array that is none: each has errors of its own
        raise InputError(f"features '{path}': expected an .npz file of arrays, got: {error}; write it again") from error


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _OURS.match(path.name)] if folder.is_dir() else []
