"""What was annotated, frame by frame, whatever format it came from."""

__all__ = ["Frame", "FramePair", "FrameSequence", "RowCounts", "beyond_classes", "frame_pairs"]

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.targets.details import LARGEST_NUMBER, Ground, Poses, Spatial, check_details, take


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
        crowds: [N] bool, True where the box holds a crowd of the class instead of one object; None where no box does.
        identities: [N] int64, number of the object's track among all that were read together, from 0; -1 where it has
            none; None where no object has one.
        poses: Joints; None where no object has any.
        spatial: What a camera sees in depth; None where nothing is annotated.
        ground: Boxes on the ground; None where none is annotated.
        file_name: Name of the image as the annotations give it, relative to some folder; empty where they give none.

    Raises:
        InputError: The arrays disagree in length, a box is not finite or ends before it starts, or a detail is unsound.
    """

    sequence: str
    index: int
    height: int
    width: int
    boxes: NDArray[np.float64]
    track_ids: NDArray[np.int64]
    class_ids: NDArray[np.int64]
    crowds: NDArray[np.bool_] | None = None
    identities: NDArray[np.int64] | None = None
    poses: Poses | None = None
    spatial: Spatial | None = None
    ground: Ground | None = None
    file_name: str = ""

    def __post_init__(self) -> None:
        count = len(self.class_ids)
        got = tuple(self.boxes.shape), tuple(self.track_ids.shape), tuple(self.class_ids.shape)
        if got != ((count, 4), (count,), (count,)):
            raise InputError(
                f"{self.title}: expected boxes [N, 4], track_ids [N] and class_ids [N], got {got}; fix what made the frame"
            )
        for name in ("crowds", "identities"):
            array = getattr(self, name)
            if array is not None and array.shape != (count,):
                raise InputError(
                    f"{self.title}: {name}: expected [{count}], got {list(array.shape)}; fix what made the frame"
                )
        for details in (self.poses, self.spatial, self.ground):
            if details is not None:
                check_details(details, count, self.title)
        left, top, right, bottom = self.boxes.T
        sound = (np.abs(self.boxes) <= LARGEST_NUMBER).all(axis=1) & (right >= left) & (bottom >= top)
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

    @property
    def is_crowd(self) -> NDArray[np.bool_]:
        """[N] bool, True where the box holds a crowd."""
        return np.zeros(len(self.class_ids), dtype=np.bool_) if self.crowds is None else self.crowds

    def take(self, rows: NDArray[Any]) -> "Frame":
        """Return the frame with some of its annotations: `rows` is [K] indices, or [N] bool."""
        return replace(
            self,
            boxes=self.boxes[rows],
            track_ids=self.track_ids[rows],
            class_ids=self.class_ids[rows],
            crowds=None if self.crowds is None else self.crowds[rows],
            identities=None if self.identities is None else self.identities[rows],
            poses=None if self.poses is None else take(self.poses, rows),
            spatial=None if self.spatial is None else take(self.spatial, rows),
            ground=None if self.ground is None else take(self.ground, rows),
        )


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
        video: False where the frames are still images, of which none comes before another.
    """

    name: str
    frames: tuple[Frame, ...]
    counts: tuple[RowCounts, ...] = ()
    video: bool = True

    @property
    def total(self) -> RowCounts:
        """The counts of all frames together."""
        return RowCounts(
            rows=sum(count.rows for count in self.counts),
            considered=sum(count.considered for count in self.counts),
            kept=sum(count.kept for count in self.counts),
        )

    def previous(self, position: int) -> Frame | None:
        """Return the frame just before the one at `position`; None for the first, after a gap, and for a still image."""
        frame = self.frames[position]
        before = self.frames[position - 1] if position > 0 and self.video else None
        return before if before is not None and before.index == frame.index - 1 else None


def frame_pairs(sequences: Iterable[FrameSequence]) -> list[FramePair]:
    """Return every frame of the sequences, in order, each with the one before it."""
    return [
        (frame, sequence.previous(position)) for sequence in sequences for position, frame in enumerate(sequence.frames)
    ]


def beyond_classes(sequences: Iterable[FrameSequence], recipe: Recipe) -> str:
    """Say which annotations no target is made of, since the recipe has fewer classes; empty where there are none."""
    counts: Counter[int] = Counter()
    for sequence in sequences:
        for frame in sequence.frames:
            counts.update(frame.class_ids[frame.class_ids > recipe.classes].tolist())
    if not counts:
        return ""
    shown = ", ".join(f"class {number} {count} times" for number, count in sorted(counts.items())[:4])
    return (
        f"annotations: {counts.total()} are of classes past the recipe's {recipe.classes} ({shown}"
        f"{', …' if len(counts) > 4 else ''}) and are left out, as upstream does"
    )
