"""The one form that a packed bundle may have: a stored zip in which every byte follows from names, sizes and contents.

    manifest.json, then the other files by name    a local header each, then the content as it is
    central directory                              repeats the headers
    end record                                     its comment ends the file: `lossrt pack 1 sha256 <64 digits>`

The last 64 bytes are the SHA-256, in lower-case hexadecimal, of every byte before them. Dates, modes and flags are
fixed, so that a reader builds the headers that it expects and compares bytes: it never has to interpret a method, an
attribute, an extra field or an offset that someone else chose. Any zip tool can list and extract the file.

Source of the layout: PKWARE's APPNOTE.TXT, 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end record).
"""

__all__ = ["DIGITS", "LOCAL", "LOCAL_SIGNATURE", "MAX_BYTES", "MAX_FILES", "Entry", "directory", "local_header"]

import struct
from collections.abc import Sequence
from dataclasses import dataclass

LOCAL_SIGNATURE = b"PK\x03\x04"
LOCAL = struct.Struct("<4s5H3I2H")
"""Signature, version, flags, method, time, date, CRC-32, stored size, size, length of name, length of extra field."""

MAX_FILES = 10_000
MAX_BYTES = 2 << 30
"""Largest packed bundle; offsets of a plain zip end at 4 GiB."""

DIGITS = 64
"""Bytes at the end of the file that hold its digest."""

_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_COMMENT = b"lossrt pack 1 sha256 "
_VERSION = 20
_UTF8 = 1 << 11
_STORED = 0
_MIDNIGHT, _1980 = 0, 0x21  # DOS time and date
_UNIX = 3 << 8
_PLAIN_FILE = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a packed bundle.

    Attributes:
        name: Path below the bundle.
        size: Bytes of its content.
        crc: CRC-32 of its content.
    """

    name: str
    size: int
    crc: int


def local_header(entry: Entry) -> bytes:
    """Return what stands before the content of a file, its name included."""
    name = entry.name.encode()
    fixed = (_VERSION, _UTF8, _STORED, _MIDNIGHT, _1980)
    return LOCAL.pack(LOCAL_SIGNATURE, *fixed, entry.crc, entry.size, entry.size, len(name), 0) + name


def directory(entries: Sequence[Entry]) -> bytes:
    """Return what stands after the last file: the central directory, the end record, and its comment up to the digest."""
    parts, offset = [], 0
    for entry in entries:
        name = entry.name.encode()
        fixed = (_UNIX | _VERSION, _VERSION, _UTF8, _STORED, _MIDNIGHT, _1980)
        sizes = (entry.crc, entry.size, entry.size, len(name))
        parts += [_CENTRAL.pack(b"PK\x01\x02", *fixed, *sizes, 0, 0, 0, 0, _PLAIN_FILE, offset), name]
        offset += len(local_header(entry)) + entry.size
    listing = b"".join(parts)
    count = len(entries)
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(listing), offset, len(_COMMENT) + DIGITS)
    return listing + end + _COMMENT
