"""What was annotated, frame by frame, whatever format it came from."""

__all__ = ["LARGEST_COORDINATE", "Frame", "FramePair", "FrameSequence", "RowCounts", "frame_pairs"]

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError

LARGEST_COORDINATE = 1e15  # float32 still has room for what is computed from it


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The annotations of one image, in the file's order, which is the order of the object slots.

    Attributes:
        sequence: Name of the sequence.
        index: Number of the frame in it, from 1.
        height: Image height, px.
        width: Image width, px.
        boxes: [N, 4] float64, left, top, right, bottom in image px; may reach past the image.
        track_ids: [N] int64; negative where the annotation has none.
        class_ids: [N] int64; 1..C is a class, 0 a region to ignore for every class, -c one to ignore for class c.

    Raises:
        InputError: The arrays disagree in length, or a box is not finite or ends before it starts.
    """

    sequence: str
    index: int
    height: int
    width: int
    boxes: NDArray[np.float64]
    track_ids: NDArray[np.int64]
    class_ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.class_ids)
        got = tuple(self.boxes.shape), tuple(self.track_ids.shape), tuple(self.class_ids.shape)
        if got != ((count, 4), (count,), (count,)):
            raise InputError(
                f"{self.title}: expected boxes [N, 4], track_ids [N] and class_ids [N], got {got}; fix what made the frame"
            )
        left, top, right, bottom = self.boxes.T
        sound = (np.abs(self.boxes) <= LARGEST_COORDINATE).all(axis=1) & (right >= left) & (bottom >= top)
        if not sound.all():
            worst = int(np.argmin(sound))
            raise InputError(
                f"{self.title}: box {worst}: expected finite left <= right and top <= bottom in px, "
                f"got {self.boxes[worst].tolist()}; fix or remove the annotation"
            )

    @property
    def title(self) -> str:
        """What messages call the frame."""
        return f"frame {self.index} of '{self.sequence}'"


FramePair = tuple[Frame, Frame | None]


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How a reader came to its annotations.

    Attributes:
        rows: Rows in the file.
        considered: Rows that the file says are to be considered.
        kept: Rows that became annotations, ignored regions included.
    """

    rows: int
    considered: int
    kept: int


@dataclass(frozen=True, slots=True, eq=False)
class FrameSequence:
    """Frames of one camera, in order.

    Attributes:
        name: Name of the sequence.
        frames: Its frames; indices grow, and may have gaps.
        counts: How many rows stand behind each frame; empty where no file does.
    """

    name: str
    frames: tuple[Frame, ...]
    counts: tuple[RowCounts, ...] = ()

    @property
    def total(self) -> RowCounts:
        """The counts of all frames together."""
        return RowCounts(
            rows=sum(count.rows for count in self.counts),
            considered=sum(count.considered for count in self.counts),
            kept=sum(count.kept for count in self.counts),
        )

    def previous(self, position: int) -> Frame | None:
        """Return the frame just before the one at `position`; None for the first and after a gap."""
        frame = self.frames[position]
        before = self.frames[position - 1] if position > 0 else None
        return before if before is not None and before.index == frame.index - 1 else None


def frame_pairs(sequences: Iterable[FrameSequence]) -> list[FramePair]:
    """Return every frame of the sequences, in order, each with the one before it."""
    return [
        (frame, sequence.previous(position)) for sequence in sequences for position, frame in enumerate(sequence.frames)
    ]
