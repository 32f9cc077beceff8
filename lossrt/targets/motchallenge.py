"""Reads a sequence in MOTChallenge's layout: `seqinfo.ini` and `gt/gt.txt`.

Which rows count is CenterTrack's conversion (`src/tools/convert_mot_to_coco.py`). The table is taken as float32 and
the 1-based corner is not shifted, as there, so that the encoded targets agree.
"""

__all__ = ["is_motchallenge", "read_motchallenge"]

import configparser
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.targets.annotations import Frame, FrameSequence, RowCounts
from lossrt.targets.motchallenge_rows import CLASS, FLAG, FRAME, HEIGHT, LEFT, TRACK, VISIBILITY, read_rows, read_text

LEAST_VISIBILITY = 0.25
DROPPED_CLASSES = (3, 4, 5, 6, 9, 10, 11)  # vehicles, occluders, reflections
IGNORED_CLASSES = (2, 7, 8, 12)  # people who are not walking by themselves
LONGEST_SEQUENCE = 1_000_000


@dataclass(frozen=True, slots=True)
class _SequenceInfo:
    name: str
    length: int
    height: int
    width: int


def is_motchallenge(directory: Path) -> bool:
    """Return whether the directory looks like a sequence, whole or not."""
    return (directory / "seqinfo.ini").exists() or (directory / "gt").is_dir()


def read_motchallenge(directory: Path) -> FrameSequence:
    """Read one sequence.

    Args:
        directory: The folder with `seqinfo.ini` and `gt/gt.txt`; images are not needed.

    Returns:
        Frames from 1 to the last that gt.txt mentions; one without a row is empty. Class 1 is a pedestrian, -1 a
        person to ignore. Rows below a quarter visible or not considered are left out.

    Raises:
        InputError: A file is missing or malformed; the message names the file and the line or key.
        StorageError: A file cannot be read.
    """
    info = _read_info(directory / "seqinfo.ini")
    rows = read_rows(directory / "gt" / "gt.txt", length=info.length)
    table = rows[np.argsort(rows[:, FRAME], kind="stable")]
    last = int(table[-1, FRAME])
    bounds = np.searchsorted(table[:, FRAME], np.arange(1, last + 2))
    parts = np.split(table, bounds[1:-1])
    frames = tuple(_frame_from_rows(part, info, index) for index, part in enumerate(parts, start=1))
    counts = tuple(
        RowCounts(rows=len(part), considered=int((part[:, FLAG] == 1).sum()), kept=len(frame.class_ids))
        for part, frame in zip(parts, frames, strict=True)
    )
    return FrameSequence(name=info.name, frames=frames, counts=counts)


def _frame_from_rows(table: NDArray[np.float64], info: _SequenceInfo, index: int) -> Frame:
    """Apply CenterTrack's filter to the rows of one frame."""
    visible = table[:, VISIBILITY].astype(np.float32) >= LEAST_VISIBILITY
    kept = table[visible & (table[:, FLAG] == 1) & ~np.isin(table[:, CLASS], DROPPED_CLASSES)]
    corner, size = np.split(kept[:, LEFT : HEIGHT + 1].astype(np.float32).astype(np.float64), 2, axis=1)
    return Frame(
        sequence=info.name,
        index=index,
        height=info.height,
        width=info.width,
        boxes=np.concatenate([corner, corner + size], axis=1),
        track_ids=kept[:, TRACK].astype(np.int64),
        class_ids=np.where(np.isin(kept[:, CLASS], IGNORED_CLASSES), -1, 1).astype(np.int64),
    )


def _read_info(path: Path) -> _SequenceInfo:
    text = read_text(path, purpose="the sequence's length and image size")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        reason = " ".join(str(error).split())
        raise InputError(f"'{path}': expected an INI file, got: {reason}; restore the file") from error
    if not parser.has_section("Sequence"):
        raise InputError(f"'{path}': expected a section [Sequence], got {parser.sections()}; restore the file")
    return _SequenceInfo(
        name=parser.get("Sequence", "name", fallback="").strip() or path.parent.resolve().name,
        length=_positive(parser, path, "seqLength", LONGEST_SEQUENCE),
        height=_positive(parser, path, "imHeight", 100_000),
        width=_positive(parser, path, "imWidth", 100_000),
    )


def _positive(parser: configparser.ConfigParser, path: Path, key: str, largest: int) -> int:
    text = parser.get("Sequence", key, fallback=None)
    if text is None:
        present = ", ".join(parser["Sequence"]) or "none"
        raise InputError(f"'{path}': key '{key}' of [Sequence]: missing; present: {present}; add it")
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= largest:
        raise InputError(f"'{path}': key '{key}': expected a whole number in 1..{largest}, got '{text}'; correct it")
    return int(text)
