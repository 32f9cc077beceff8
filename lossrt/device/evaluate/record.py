"""What is said of one frame, and of all of them."""

__all__ = ["FrameRecord", "Summary", "losses_of"]

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lossrt.device.evaluate.statistics import Flag, Moments, Reading


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One frame.

    Attributes:
        sequence: Name of its sequence.
        frame: Its number there.
        losses: Loss by output.
        reading: Means and flags after it.
    """

    sequence: str
    frame: int
    losses: dict[str, float]
    reading: Reading

    def as_data(self) -> dict[str, Any]:
        """Return the record as it is written."""
        data: dict[str, Any] = {
            "sequence": self.sequence,
            "frame": self.frame,
            "losses": self.losses,
            "mean": self.reading.means,
            "window": self.reading.windows,
        }
        if self.reading.flags:
            data["flags"] = [_flag(flag) for flag in self.reading.flags]
        return data


def losses_of(data: Mapping[str, Any]) -> dict[str, float]:
    """Return the losses of a written record; "nan" and "inf" become numbers again."""
    return {str(name): float(value) for name, value in data["losses"].items()}


def _flag(flag: Flag) -> dict[str, Any]:
    data: dict[str, Any] = {"output": flag.output, "kind": flag.kind}
    return data if flag.sigmas is None else {**data, "sigmas": flag.sigmas}


@dataclass(slots=True)
class Summary:
    """All frames together.

    Attributes:
        frames: Frames evaluated.
        planned: Frames in all.
        flags: How many frames have a flag of that kind, by output and kind.
        first: The first of them, sequence and frame, likewise.
        dropped: Annotations that found no slot.
    """

    planned: int
    frames: int = 0
    flags: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    dropped: int = 0

    def add(self, record: FrameRecord) -> None:
        """Count one more frame."""
        self.frames += 1
        for flag in record.reading.flags:
            self.flags[flag.output, flag.kind] += 1
            self.first.setdefault((flag.output, flag.kind), (record.sequence, record.frame))

    def as_data(self, totals: Mapping[str, Moments], windows: Mapping[str, float]) -> dict[str, Any]:
        """Return the summary as it is written; outputs without a finite loss have null for each number."""
        return {
            "frames": self.frames,
            "planned": self.planned,
            "complete": self.frames == self.planned,
            "outputs": {name: _spread(moments, windows.get(name)) for name, moments in totals.items()},
            "flags": [
                {"output": output, "kind": kind, "frames": count, "first": list(self.first[output, kind])}
                for (output, kind), count in sorted(self.flags.items())
            ],
            "dropped_annotations": self.dropped,
        }


def _spread(moments: Moments, window: float | None) -> dict[str, Any]:
    known = moments.count > 0
    return {
        "frames": moments.count,
        "mean": moments.mean if known else None,
        "deviation": moments.deviation if known else None,
        "least": moments.least if known else None,
        "most": moments.most if known else None,
        "window": window if known else None,
    }
