"""Which frames are evaluated, and what tells one set of annotations from another."""

__all__ = ["PlannedFrame", "annotations_digest", "parse_range", "planned_frames"]

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lossrt.errors import InputError
from lossrt.targets.annotations import Frame, FrameSequence


@dataclass(frozen=True, slots=True, eq=False)
class PlannedFrame:
    """One annotated frame, and the one before it where there is one."""

    frame: Frame
    previous: Frame | None

    @property
    def key(self) -> tuple[str, int]:
        """Sequence and number: what a frame is called in the output."""
        return self.frame.sequence, self.frame.index


def parse_range(text: str) -> tuple[int, int]:
    """Parse `7`, `7-20`, or `7-` into the first and the last number.

    Raises:
        InputError: It is none of these.
    """
    found = re.fullmatch(r"(\d{1,9})(-(\d{1,9})?)?", text.strip())
    if not found:
        raise InputError(f"--only '{text}': expected a number or a range such as 1-300")
    first = int(found[1])
    last = first if found[2] is None else int(found[3] or 10**9)
    if last < first:
        raise InputError(f"--only '{text}': expected the first number before the last")
    return first, last


def planned_frames(sequences: Sequence[FrameSequence], *, only: tuple[int, int] | None = None) -> list[PlannedFrame]:
    """Return the frames to evaluate, in the annotations' order.

    Args:
        sequences: The annotations.
        only: First and last frame number of each sequence; None for all.

    Raises:
        InputError: None is left, or two frames of a sequence have the same number or come in the wrong order.
    """
    frames = []
    for sequence in sequences:
        for position, frame in enumerate(sequence.frames):
            if position and frame.index <= sequence.frames[position - 1].index:
                raise InputError(f"annotations: {frame.title}: expected frames in growing order; sort them")
            if only is None or only[0] <= frame.index <= only[1]:
                frames.append(PlannedFrame(frame, sequence.previous(position)))
    if not frames:
        known = ", ".join(f"'{s.name}' {s.frames[0].index} to {s.frames[-1].index}" for s in sequences if s.frames)
        raise InputError(
            f"annotations: expected at least one frame to evaluate, got none; annotated: {known or 'none'}"
        )
    return frames


def annotations_digest(frames: Iterable[PlannedFrame]) -> str:
    """Return a SHA-256 over everything that is annotated in the frames, and over which frame precedes which."""
    digest = hashlib.sha256()
    for planned in frames:
        _add(digest, planned.frame)
        _add(digest, None if planned.previous is None else planned.previous.index)
    return digest.hexdigest()


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _add(digest: _Digest, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.asarray(value, order="C").tobytes())
    elif dataclasses.is_dataclass(value):
        for part in dataclasses.fields(value):
            _add(digest, getattr(value, part.name))
    else:
        digest.update(repr(value).encode() + b"\0")
