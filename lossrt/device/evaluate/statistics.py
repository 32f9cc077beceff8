"""Running and windowed means of losses, and what is worth a flag: NaN, infinities, drift."""

__all__ = ["Flag", "Moments", "Reading", "Statistics", "check_window"]

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lossrt.errors import InputError

LARGEST_WINDOW = 100_000
RESOLUTION = 2.0**-23  # of float32, in which the losses come: less than that is no drift


@dataclass(slots=True)
class Moments:
    """Mean and spread of numbers seen one by one (Welford, Technometrics 4, 1962).

    Attributes:
        count: Numbers seen.
        mean: Their mean; 0 before the first.
        squares: Sum of their squared distances from the mean.
        least: The smallest.
        most: The largest.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, value: float) -> None:
        """See one more, finite, number."""
        self.count += 1
        distance = value - self.mean
        self.mean += distance / self.count
        self.squares += distance * (value - self.mean)
        self.least, self.most = min(self.least, value), max(self.most, value)

    @property
    def deviation(self) -> float:
        """Standard deviation, with n − 1; 0 for fewer than two numbers."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Flag:
    """Something to look at in one frame.

    Attributes:
        output: The output it is about.
        kind: `nan`, `inf`, `-inf`, or `drift`.
        sigmas: Drift: how many standard deviations the windowed mean lies off; None where the baseline has no spread.
    """

    output: str
    kind: Literal["nan", "inf", "-inf", "drift"]
    sigmas: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the statistics stand after a frame; a mean is NaN before the first finite loss."""

    means: dict[str, float]
    windows: dict[str, float]
    flags: tuple[Flag, ...]


@dataclass(slots=True)
class _Track:
    """One output: all of its finite losses, the last few, and those before the last few."""

    recent: deque[float]
    total: Moments = field(default_factory=Moments)
    before: Moments = field(default_factory=Moments)

    def add(self, value: float) -> None:
        if len(self.recent) == self.recent.maxlen:
            self.before.add(self.recent[0])
        self.recent.append(value)
        self.total.add(value)


class Statistics:
    """Means and flags of named losses, frame after frame, in memory that does not grow.

    Numbers that are not finite are flagged and left out of every mean. An output drifts while the mean of its last
    `window` finite losses lies more than `drift_sigma` standard deviations of the finite losses before those from their
    mean; nothing is said before there are `window` losses on either side.

    Args:
        outputs: Names of the losses.
        window: Frames of the windowed mean and of the shortest baseline; at least 2.
        drift_sigma: Standard deviations, more than 0; None looks for no drift.
    """

    def __init__(self, outputs: Sequence[str], *, window: int, drift_sigma: float | None) -> None:
        self._window, self._sigma = window, drift_sigma
        self._tracks = {name: _Track(deque(maxlen=window)) for name in outputs}

    def add(self, losses: Mapping[str, float]) -> Reading:
        """See the losses of one more frame, every output's."""
        flags, windows = [], {}
        for name, track in self._tracks.items():
            value = losses[name]
            if math.isfinite(value):
                track.add(value)
            else:
                flags.append(Flag(name, _kind(value)))
            windows[name] = math.fsum(track.recent) / len(track.recent) if track.recent else math.nan
            drift = self._drift(name, track, windows[name])
            if drift is not None:
                flags.append(drift)
        return Reading(self.means(), windows, tuple(flags))

    def means(self) -> dict[str, float]:
        """Return the mean of each output's finite losses; NaN where there is none."""
        return {name: track.total.mean if track.total.count else math.nan for name, track in self._tracks.items()}

    def totals(self) -> dict[str, Moments]:
        """Return mean and spread of each output's finite losses."""
        return {name: track.total for name, track in self._tracks.items()}

    def _drift(self, name: str, track: _Track, mean: float) -> Flag | None:
        before = track.before
        if self._sigma is None or before.count < self._window:
            return None
        distance, deviation = abs(mean - before.mean), before.deviation
        if distance <= self._sigma * deviation + RESOLUTION * abs(before.mean):
            return None
        return Flag(name, "drift", distance / deviation if deviation else None)


def check_window(window: int) -> None:
    """Refuse a window that no mean can be taken of, or that would not fit into memory.

    Raises:
        InputError: It is one.
    """
    if not 2 <= window <= LARGEST_WINDOW:
        raise InputError(f"--window: expected 2 to {LARGEST_WINDOW}, got {window}")


def _kind(value: float) -> Literal["nan", "inf", "-inf"]:
    if math.isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"
