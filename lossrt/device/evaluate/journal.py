"""The output file: JSON Lines that only grow, and that a later run goes on with as if it had never stopped.

The first line says what is evaluated and how; then comes a line a frame; a finished or interrupted run ends with a
summary, which going on removes again. Nothing in it depends on the time of day, so the same evaluation gives the same
bytes however often it was stopped.
"""

__all__ = ["FORMAT", "Journal", "encoded", "opened_journal"]

import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lossrt.errors import InputError, StorageError

FORMAT = "lossrt evaluate"
SCHEMA = 1
FSYNC_S = 1.0
LONGEST_LINE = 1 << 20
KEY = "summary"


class Journal:
    """An output file, open at its end and locked against a second run; `opened_journal` makes it.

    Args:
        path: The file, for messages.
        handle: Its descriptor.
        size: Its length, bytes: whole lines only.
    """

    def __init__(self, path: Path, handle: int, size: int) -> None:
        self._path, self._handle, self._size = path, handle, size
        self._synced = time.monotonic()

    def append(self, line: bytes) -> None:
        """Write a whole line; it reaches the disk within a second of evaluating on.

        Raises:
            StorageError: The disk refuses. What was written before is whole.
        """
        try:
            self._write(line)
            if time.monotonic() - self._synced >= FSYNC_S:
                self.sync()
        except OSError as error:
            self._cut()
            raise StorageError(
                f"output '{self._path}': cannot be written: {error.strerror or error}; every frame before is in it: free "
                "space, then go on with --resume"
            ) from error

    def sync(self) -> None:
        """Force what was written onto the disk."""
        os.fsync(self._handle)
        self._synced = time.monotonic()

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._handle, rest) :]
        self._size += len(line)

    def _cut(self) -> None:
        """Remove half a line."""
        os.ftruncate(self._handle, self._size)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.fsync(self._handle)
        except OSError as failed:
            if error is None:
                raise StorageError(f"output '{self._path}': cannot be written: {failed.strerror}") from failed
        finally:
            os.close(self._handle)


def encoded(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line; numbers that JSON lacks become "nan", "inf" and "-inf", as in report.json."""
    return json.dumps(_finite(record), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def opened_journal(
    path: Path, header: Mapping[str, Any], *, resume: bool, replay: Callable[[dict[str, Any]], bytes]
) -> Journal:
    """Open the output file: a new one, or where a run stopped.

    Args:
        path: The file.
        header: What is evaluated and how; a file that was begun with another one is refused.
        resume: Go on with the file that is there, if any.
        replay: Called with each frame's record; returns the line that this run would write for it.

    Raises:
        InputError: The file is there and `resume` is not asked for; or it is another program's, another evaluation's,
            changed, or in use.
        StorageError: It cannot be opened or written.
    """
    first = {"format": FORMAT, "schema": SCHEMA, **header}
    handle = _locked(path)
    try:
        size = os.fstat(handle).st_size
        if size and not resume:
            raise InputError(f"output '{path}': exists; go on with it by --resume, or choose another with -o")
        journal = Journal(path, handle, _replayed(path, handle, first, replay) if size else 0)
        if journal._size < size:
            journal._cut()
        os.lseek(handle, 0, os.SEEK_END)
        if not journal._size:
            journal.append(encoded(first))
            journal.sync()
    except BaseException:
        os.close(handle)
        raise
    return journal


def _locked(path: Path) -> int:
    if path.exists() and not path.is_file():
        raise InputError(f"output '{path}': expected a file, got something else; choose another with -o")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"output '{path}': cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InputError(
            f"output '{path}': another run writes to it; wait for its end, or choose another with -o"
        ) from error
    return handle


def _replayed(path: Path, handle: int, first: dict[str, Any], replay: Callable[[dict[str, Any]], bytes]) -> int:
    """Go through the lines; return the length of those that are kept, 0 where not even the first is whole."""
    kept = 0
    with os.fdopen(os.dup(handle), "rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), start=1):
            if not line.endswith(b"\n"):
                if number == 1 and not encoded(first).startswith(line):
                    raise _not_ours(path)
                break
            record = _parsed(path, number, line)
            if number == 1:
                _check_header(path, record, first)
            elif KEY in record:
                break
            elif replay(record) != line:
                raise InputError(
                    f"output '{path}' line {number}: is not what this evaluation writes for that frame; it was changed, "
                    "or other heads lie there now: begin anew with another -o"
                )
            kept += len(line)
    return kept


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        if number == 1:
            raise _not_ours(path) from error
        raise InputError(f"output '{path}' line {number}: not JSON: {error}; begin anew with another -o") from error
    if not isinstance(record, dict):
        raise _not_ours(path) if number == 1 else InputError(f"output '{path}' line {number}: expected an object")
    return record


def _check_header(path: Path, record: dict[str, Any], first: dict[str, Any]) -> None:
    if record.get("format") != FORMAT:
        raise _not_ours(path)
    expected = json.loads(encoded(first))
    for key in sorted(expected.keys() | record.keys()):
        if record.get(key) != expected.get(key):
            raise InputError(
                f"output '{path}': was begun with {key} {_short(record.get(key))}, and this run has "
                f"{_short(expected.get(key))}; go on with the same command, or choose another -o"
            )


def _not_ours(path: Path) -> InputError:
    return InputError(f"output '{path}': not a file that `lossrt evaluate` wrote; choose another with -o")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _finite(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    return data
