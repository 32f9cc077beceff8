"""Packed files that nobody but an attacker writes, each with a digest at its end that fits."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from lossrt.bundle import Bundle
from lossrt.bundle.zip_form import Entry, directory, local_header

PREFIX = b"lossrt pack 1 sha256 "


def sealed(content: bytes) -> bytes:
    """Append the digest that a reader asks for first."""
    return content + hashlib.sha256(content).hexdigest().encode()


def resealed(packed: bytes) -> bytes:
    """Give changed bytes a digest that fits."""
    return sealed(packed[:-64])


def contents(bundle: Bundle) -> list[tuple[str, bytes]]:
    """Return what a packed bundle holds, in order."""
    names = ["manifest.json", *sorted(bundle.manifest.files)]
    return [(name, (bundle.root / name).read_bytes()) for name in names]


def canonical(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return files in the right form, whatever their names."""
    parts, entries = [], []
    for name, content in files:
        entry = Entry(name, len(content), zlib.crc32(content))
        entries.append(entry)
        parts += [local_header(entry), content]
    return sealed(b"".join(parts) + directory(entries))


def zipped(
    files: Iterable[tuple[str, bytes]], *, change: Callable[[zipfile.ZipInfo], None] = lambda _info: None
) -> bytes:
    """Return files as the standard library zips them, with the comment that a reader looks for."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = PREFIX + b"0" * 64
        for name, content in files:
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100644 << 16
            change(info)
            archive.writestr(info, content)
    return resealed(buffer.getvalue())


def replace(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
