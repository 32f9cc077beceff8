"""Arrays in a safetensors or npz file, read image by image: a file of any length takes the memory of one image."""

__all__ = ["ImageFile", "Layout", "open_image_file"]

import json
import math
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError, StorageError

SAFETENSORS_TYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
LONGEST_HEADER = 100_000_000  # bytes; safetensors' own limit


@dataclass(frozen=True, slots=True)
class Layout:
    """Type and shape of one array in a file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(str(size) for size in self.shape)}]"


class ImageFile(Protocol):
    """An open file of named arrays.

    Attributes:
        layouts: Type and shape by name.
    """

    layouts: dict[str, Layout]

    def part(self, name: str, image: int, images: int) -> NDArray[Any]:
        """Return the `image`-th of `images` equal parts of an array, flat; parts are asked for in growing order.

        Raises:
            InputError: The file is cut off or damaged.
        """
        ...

    def __enter__(self) -> "ImageFile": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_image_file(path: Path, *, what: str, names: Collection[str]) -> ImageFile:
    """Open a file and look at the types and shapes of its arrays; none is read.

    Args:
        path: The file: `*.safetensors` or `*.npz`.
        what: What messages call it.
        names: Only these arrays are looked at.

    Raises:
        InputError: It is neither, is damaged, or an array has a type that is not a number's; arrays of Python objects
            are never loaded.
        StorageError: It cannot be read.
    """
    try:
        if path.suffix == ".npz":
            return _Npz(path, what, names)
        return _Safetensors(path, what, names)
    except OSError as error:
        raise StorageError(
            f"{what} '{path}': cannot be read: {error.strerror or error}; check its permissions"
        ) from error


class _Safetensors:
    """Format: 8 bytes with the header's length, the header in JSON, and the arrays' bytes one after another."""

    def __init__(self, path: Path, what: str, names: Collection[str]) -> None:
        self._label = f"{what} '{path}'"
        self._file = path.open("rb", buffering=0)
        self.layouts: dict[str, Layout] = {}
        self._offsets: dict[str, int] = {}
        try:
            size = path.stat().st_size
            length = int.from_bytes(self._file.read(8), "little")
            if size < 8 or length > min(LONGEST_HEADER, size - 8):
                raise self._refuse("its header is longer than the file")
            try:
                header = json.loads(self._file.read(length))
            except ValueError as error:
                raise self._refuse(f"its header is not JSON ({error})") from error
            if not isinstance(header, dict):
                raise self._refuse("its header is no object")
            for name in sorted(set(names) & header.keys()):
                self._look_at(name, header[name], 8 + length, size)
        except BaseException:
            self._file.close()
            raise

    def part(self, name: str, image: int, images: int) -> NDArray[Any]:
        layout = self.layouts[name]
        values = np.empty(math.prod(layout.shape) // images, layout.dtype)
        self._file.seek(self._offsets[name] + image * values.nbytes)
        room = values.view(np.uint8).data
        while room:
            read = self._file.readinto(room)
            if not read:
                raise self._refuse(f"'{name}' ends early")
            room = room[read:]
        return values

    def _look_at(self, name: str, entry: Any, start: int, size: int) -> None:
        try:
            kind, shape = entry["dtype"], tuple(int(side) for side in entry["shape"])
            begin, end = (int(offset) for offset in entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._refuse(f"the entry of '{name}' is malformed") from error
        if kind not in SAFETENSORS_TYPES:
            raise InputError(f"{self._label}: tensor '{name}': type {kind}: expected {', '.join(SAFETENSORS_TYPES)}")
        dtype = SAFETENSORS_TYPES[kind]
        if (
            min(shape, default=0) < 0
            or math.prod(shape) * dtype.itemsize != end - begin
            or not 0 <= begin <= end <= size - start
        ):
            raise self._refuse(f"the bytes of '{name}' do not fit its shape, or the file")
        self.layouts[name] = Layout(dtype, shape)
        self._offsets[name] = start + begin

    def _refuse(self, reason: str) -> InputError:
        return InputError(f"{self._label}: expected a safetensors file, but {reason}; write it again")

    def __enter__(self) -> "_Safetensors":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class _Npz:
    """A zip archive with one npy file an array; each is read in a stream of its own, since it may be compressed."""

    def __init__(self, path: Path, what: str, names: Collection[str]) -> None:
        self._label = f"{what} '{path}'"
        self.layouts: dict[str, Layout] = {}
        self._streams: dict[str, IO[bytes]] = {}
        self._done: dict[str, int] = {}
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise self._refuse(str(error)) from error
        try:
            present = set(self._zip.namelist())
            for name in sorted(name for name in names if f"{name}.npy" in present):
                self._open(name)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def part(self, name: str, image: int, images: int) -> NDArray[Any]:
        layout = self.layouts[name]
        values = np.empty(math.prod(layout.shape) // images, layout.dtype)
        if self._done[name] > image:
            self._open(name)
        for _ in range(self._done[name], image + 1):
            self._fill(name, values.view(np.uint8).data)
        self._done[name] = image + 1
        return values

    def _fill(self, name: str, room: memoryview) -> None:
        try:
            while room:
                chunk = self._streams[name].read(min(len(room), 1 << 20))
                if not chunk:
                    raise self._refuse(f"'{name}' ends early")
                room[: len(chunk)] = chunk
                room = room[len(chunk) :]
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise self._refuse(f"'{name}' is damaged ({error})") from error

    def _open(self, name: str) -> None:
        try:
            if name in self._streams:
                self._streams.pop(name).close()
            # Kept from the first, so that a file that is refused is closed as well.
            stream = self._streams[name] = self._zip.open(f"{name}.npy")
            version = np.lib.format.read_magic(stream)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, fortran, dtype = read(stream)
        except (
            ValueError,
            KeyError,
            NotImplementedError,
            RuntimeError,
            EOFError,
            zlib.error,
            zipfile.BadZipFile,
        ) as error:
            raise self._refuse(f"'{name}' is damaged ({error})") from error
        if dtype.hasobject:
            raise InputError(
                f"{self._label}: array '{name}': holds Python objects, which could run code when they are loaded; save "
                "plain numbers"
            )
        if fortran and len(shape) > 1:
            raise InputError(f"{self._label}: array '{name}': in Fortran's order; save numpy.ascontiguousarray of it")
        self.layouts[name] = Layout(np.dtype(dtype), tuple(int(side) for side in shape))
        self._done[name] = 0

    def _refuse(self, reason: str) -> InputError:
        return InputError(f"{self._label}: expected an npz file, but {reason}; write it again")

    def __enter__(self) -> "_Npz":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams.values():
            stream.close()
        self._zip.close()
