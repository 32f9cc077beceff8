"""Folder → one file: a bundle packed so that it can be copied, mailed, and checked before anything in it is read."""

__all__ = ["pack_bundle"]

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lossrt.bundle.files import replacing
from lossrt.bundle.folder import Bundle
from lossrt.bundle.places import check_outputs
from lossrt.bundle.zip_form import MAX_BYTES, MAX_FILES, Entry, directory, local_header
from lossrt.errors import InputError, StorageError

_CHUNK = 1 << 20


def pack_bundle(bundle: Bundle, path: Path) -> str:
    """Write a bundle as one file, in the form of `lossrt.bundle.zip_form`; the same bundle gives the same bytes.

    Graphs, baselines and cases go along; engines do not, since they are code for one machine, nor do reports.

    Args:
        bundle: The bundle.
        path: The file; an older one is replaced.

    Returns:
        SHA-256 of the whole file, in hexadecimal.

    Raises:
        InputError: `path` is a folder, lies in the bundle or is the packed one itself, the bundle is too large, or one of its files
            changed since it was opened.
        StorageError: The disk refused.
    """
    check_outputs({"output": path}, bundle=bundle)
    digests = {"manifest.json": bundle.bundle_id} | dict(sorted(bundle.manifest.files.items()))
    try:
        entries = [_entry(bundle.root, name) for name in digests]
        _check_size(bundle, entries)
        digest = hashlib.sha256()
        with replacing(path) as stream:
            for entry in entries:
                _write(stream, digest, local_header(entry))
                content = hashlib.sha256()
                for chunk in _chunks(bundle.root / entry.name):
                    content.update(chunk)
                    _write(stream, digest, chunk)
                if content.hexdigest() != digests[entry.name]:
                    raise InputError(f"bundle '{bundle.source}': file '{entry.name}': changed meanwhile; pack it again")
            _write(stream, digest, directory(entries))
            _write(stream, digest, digest.hexdigest().encode())
    except OSError as error:
        raise StorageError(f"output '{path}': writing failed: {error}; free space or choose another -o") from error
    return digest.hexdigest()


def _check_size(bundle: Bundle, entries: list[Entry]) -> None:
    size = sum(entry.size for entry in entries)
    if len(entries) > MAX_FILES or size > MAX_BYTES - (1 << 20) - 4096 * len(entries):
        raise InputError(
            f"bundle '{bundle.source}': {len(entries)} files of {size:,} bytes: a packed one holds at most {MAX_FILES} "
            f"files and {MAX_BYTES:,} bytes; export fewer cases"
        )


def _entry(root: Path, name: str) -> Entry:
    size = crc = 0
    for chunk in _chunks(root / name):
        size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return Entry(name, size, crc)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _write(stream: BinaryIO, digest: "hashlib._Hash", data: bytes) -> None:
    digest.update(data)
    stream.write(data)
