"""The table of MOTChallenge's `gt/gt.txt`, checked row by row."""

__all__ = ["CLASS", "FLAG", "FRAME", "HEIGHT", "LEFT", "TRACK", "VISIBILITY", "read_rows", "read_text"]

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError, StorageError

COLUMNS = ("frame", "id", "left", "top", "width", "height", "considered flag", "class", "visibility")
FRAME, TRACK, LEFT, HEIGHT, FLAG, CLASS, VISIBILITY = 0, 1, 2, 5, 6, 7, 8
LARGEST_NUMBER = 1e12


@dataclass(frozen=True, slots=True)
class _Rows:
    """`table` [R, 9] float64, and for messages the number and the text of the line that each row stands in."""

    path: Path
    table: NDArray[np.float64]
    lines: tuple[int, ...]
    texts: tuple[str, ...]

    def refuse(self, row: int, expected: str) -> InputError:
        return InputError(
            f"'{self.path}' line {self.lines[row]}: expected {expected}, got '{self.texts[row][:120]}'; "
            "fix or remove the row"
        )


def read_text(path: Path, *, purpose: str) -> str:
    """Read one of a sequence's text files.

    Args:
        path: The file.
        purpose: What it is expected to hold, for messages.

    Raises:
        InputError: It is missing or is not UTF-8.
        StorageError: It cannot be read.
    """
    if not path.is_file():
        raise InputError(
            f"'{path}': missing; expected {purpose}; give the folder of a MOTChallenge sequence (seqinfo.ini, gt/gt.txt)"
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}': expected UTF-8 text, got: {error}; download or export the file again") from error
    except OSError as error:
        raise StorageError(f"'{path}': cannot be read: {error}; check its permissions") from error


def read_rows(path: Path, *, length: int) -> NDArray[np.float64]:
    """Read and check the table.

    Args:
        path: The `gt.txt`.
        length: Number of frames in the sequence.

    Returns:
        [R, 9] float64 in the file's order, at least one row; the columns are `COLUMNS`, lengths in image px.

    Raises:
        InputError: The file is missing or empty, or a row is malformed; the message names the line.
        StorageError: The file cannot be read.
    """
    numbered = [
        (number, text)
        for number, line in enumerate(read_text(path, purpose="the annotations").split("\n"), start=1)
        if (text := line.strip())
    ]
    if not numbered:
        raise InputError(f"'{path}': expected rows of {', '.join(COLUMNS)}, got none; annotate at least one frame")
    rows = _Rows(
        path=path,
        table=np.array([_parse_row(path, number, text) for number, text in numbered], dtype=np.float64),
        lines=tuple(number for number, _ in numbered),
        texts=tuple(text for _, text in numbered),
    )
    _check_values(rows, length)
    _check_ids(rows)
    return rows.table


def _parse_row(path: Path, number: int, text: str) -> list[float]:
    cells = text.split(",")
    if len(cells) != len(COLUMNS):
        raise InputError(
            f"'{path}' line {number}: expected {len(COLUMNS)} columns ({', '.join(COLUMNS)}), got {len(cells)}: "
            f"'{text[:120]}'; MOT16, MOT17 and MOT20 have them: convert the file"
        )
    row = []
    for name, cell in zip(COLUMNS, cells, strict=True):
        try:
            row.append(float(cell))
        except ValueError as error:  # noqa: PERF203  # the column's name is worth it
            raise InputError(
                f"'{path}' line {number}: {name}: expected a number, got '{cell[:40]}'; fix or remove the row"
            ) from error
    return row


def _check_values(rows: _Rows, length: int) -> None:
    table = rows.table
    whole = table[:, [FRAME, TRACK, FLAG, CLASS]]
    rules = (
        ((np.abs(table) <= LARGEST_NUMBER).all(axis=1), f"finite numbers up to {LARGEST_NUMBER:g}"),
        ((np.trunc(whole) == whole).all(axis=1), "whole numbers for frame, id, considered flag and class"),
        (
            (table[:, FRAME] >= 1) & (table[:, FRAME] <= length),
            f"a frame in 1..{length} (seqLength of seqinfo.ini)",
        ),
        (table[:, TRACK] >= 0, "an id >= 0"),
        ((table[:, HEIGHT - 1 : HEIGHT + 1] > 0).all(axis=1), "a width and a height > 0 px"),
    )
    for sound, expected in rules:
        if not sound.all():
            raise rows.refuse(int(np.argmin(sound)), expected)


def _check_ids(rows: _Rows) -> None:
    table = rows.table
    order = np.lexsort((table[:, TRACK], table[:, FRAME]))
    keys = table[order, : TRACK + 1]
    again = np.flatnonzero((keys[1:] == keys[:-1]).all(axis=1))
    if again.size:
        first, second = order[again[0]], order[again[0] + 1]
        raise rows.refuse(int(second), f"each id once a frame (this one stands in line {rows.lines[first]} already)")
