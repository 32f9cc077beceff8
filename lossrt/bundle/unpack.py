"""One file → private folder: the whole digest first, then the form, then the names, and only then any content."""

__all__ = ["PackedFile", "is_packed"]

import hashlib
import os
import tempfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from lossrt.bundle.manifest import MANIFEST, MAX_MANIFEST
from lossrt.bundle.names import unfit_name
from lossrt.bundle.private import PrivateFolder
from lossrt.bundle.zip_form import (
    DIGITS,
    LOCAL,
    LOCAL_SIGNATURE,
    MAX_BYTES,
    MAX_FILES,
    Entry,
    directory,
    local_header,
)
from lossrt.errors import InputError, StorageError

_CHUNK = 1 << 20


def is_packed(path: Path) -> bool:
    """Say whether a path is a file that begins like a packed bundle; nothing about it is checked."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(LOCAL_SIGNATURE)) == LOCAL_SIGNATURE
    except OSError:
        return False


class PackedFile:
    """A packed bundle whose digest and form were found right. One open file serves all steps: swapping it is no use.

    Args:
        path: The file, for messages.
        stream: The open file.

    Raises:
        InputError: Its bytes are not those that its digest was taken of, or it has another form than
            `lossrt.bundle.zip_form` describes.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._stream = path, stream
        self._end = self._check_digest()
        self._places = self._read_headers()

    def manifest(self) -> bytes:
        """Return the content of the manifest."""
        return b"".join(self._content(*self._places[0]))

    def extract(self, names: Collection[str]) -> PrivateFolder:
        """Extract every file into a new folder that only this user can enter.

        Args:
            names: What the manifest lists; the file must hold these and no others.

        Returns:
            The folder; to be discarded by the caller.

        Raises:
            InputError: A file is missing or unknown.
            StorageError: The disk refused.
        """
        held = {entry.name for entry, _ in self._places[1:]}
        if unknown := sorted(held - set(names)):
            raise self._refusal(f"file '{unknown[0]}': not in its manifest")
        if missing := sorted(set(names) - held):
            raise self._refusal(f"file '{missing[0]}': in its manifest, but missing")
        root: PrivateFolder | None = None
        try:
            root = PrivateFolder.make()
            for entry, place in self._places:
                target = root.path / entry.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as stream:
                    for chunk in self._content(entry, place):
                        stream.write(chunk)
        except BaseException as error:
            if root is not None:
                root.discard()
            if isinstance(error, OSError):
                raise StorageError(
                    f"bundle '{self._path}': cannot be unpacked into {tempfile.gettempdir()}: {error}; free space "
                    "there, or set TMPDIR"
                ) from error
            raise
        return root

    def _refusal(self, reason: str) -> InputError:
        return InputError(f"bundle '{self._path}': {reason}; copy it again from where it was packed")

    def _check_digest(self) -> int:
        """Return where the digest begins, after comparing it with the bytes before it."""
        size = os.fstat(self._stream.fileno()).st_size
        if not DIGITS < size <= MAX_BYTES:
            raise self._refusal(f"expected a packed bundle of at most {MAX_BYTES:,} bytes, got {size:,} bytes")
        digest, left = hashlib.sha256(), size - DIGITS
        while left and (chunk := self._stream.read(min(_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
        if left or self._stream.read() != digest.hexdigest().encode():
            raise self._refusal("its bytes are not those that the digest at its end was taken of, or it is no bundle")
        return size - DIGITS

    def _read_headers(self) -> list[tuple[Entry, int]]:
        """Walk the local headers, compare everything after them with what they imply, and return where contents lie."""
        places: list[tuple[Entry, int]] = []
        position = 0
        while (found := self._next(position, first=not places)) is not None:
            entry, start = found
            places.append(found)
            position = start + entry.size
            if position > self._end or len(places) > MAX_FILES:
                raise self._refusal(f"file '{entry.name}': leaves the file, or is more than {MAX_FILES} files")
        entries = [entry for entry, _ in places]
        expected = directory(entries)
        self._stream.seek(position)
        if self._end - position != len(expected) or self._stream.read(len(expected)) != expected:
            raise self._refusal("its directory is not the one that its files give")
        names = [entry.name for entry in entries]
        folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
        if len(set(names)) < len(names) or folders & set(names):
            raise self._refusal("two of its files have one place")
        return places

    def _next(self, position: int, *, first: bool) -> tuple[Entry, int] | None:
        """Read the local header at `position`; None where the directory begins instead."""
        self._stream.seek(position)
        head = self._stream.read(LOCAL.size)
        if not first and head[: len(LOCAL_SIGNATURE)] != LOCAL_SIGNATURE:
            return None
        if len(head) < LOCAL.size:
            raise self._refusal("it ends within a header")
        *_, method, _, _, crc, stored, size, name_length, _ = LOCAL.unpack(head)
        name = self._stream.read(name_length)
        try:
            entry = Entry(name.decode(), size, crc)
        except UnicodeDecodeError as error:
            raise self._refusal(f"file {name!r}: the name is not UTF-8") from error
        if method or stored != size:
            raise self._refusal(f"file '{entry.name}': expected it stored as it is, got method {method}")
        if head + name != local_header(entry):
            raise self._refusal(f"file '{entry.name}': its header is not the one that its name and size give")
        if first and (entry.name != MANIFEST or size > MAX_MANIFEST):
            raise self._refusal(f"expected {MANIFEST} of at most {MAX_MANIFEST:,} bytes first, got '{entry.name}'")
        if not first and (problem := unfit_name(entry.name)):
            raise self._refusal(f"file '{entry.name}': {problem}")
        return entry, position + len(head) + len(name)

    def _content(self, entry: Entry, place: int) -> Iterator[bytes]:
        self._stream.seek(place)
        left, crc = entry.size, 0
        while left:
            chunk = self._stream.read(min(_CHUNK, left))
            if not chunk:
                raise self._refusal(f"file '{entry.name}': it was cut off meanwhile")
            left, crc = left - len(chunk), zlib.crc32(chunk, crc)
            yield chunk
        if crc != entry.crc:
            raise self._refusal(f"file '{entry.name}': its CRC-32 is not the one in its header")
