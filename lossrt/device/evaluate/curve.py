"""A loss over any number of frames as a picture of bounded size: each column shows the range and the mean of its frames."""

__all__ = ["Curve", "curve_svg"]

import math
from dataclasses import dataclass
from html import escape

COLUMNS = 512
WIDTH, HEIGHT = 960, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 12, 28, 34
COLOURS = ("#1f4e79", "#b5521a", "#2d7a46", "#7a3e8e", "#8a6d00", "#a52a4a", "#3f6b8f", "#555555")


@dataclass(slots=True)
class _Column:
    least: float
    most: float
    total: float
    count: int

    def joined(self, other: "_Column") -> "_Column":
        return _Column(
            min(self.least, other.least), max(self.most, other.most), self.total + other.total, self.count + other.count
        )


class Curve:
    """The losses of one output, thinned out: at most 1024 columns, of as many frames each as it takes."""

    def __init__(self) -> None:
        self._columns: list[_Column | None] = []
        self._filled = 0  # frames in the last column
        self.frames_a_column = 1

    def add(self, value: float) -> None:
        """See the loss of one more frame; what is not finite leaves a gap."""
        if not self._columns or self._filled == self.frames_a_column:
            if len(self._columns) == 2 * COLUMNS:
                pairs = zip(self._columns[::2], self._columns[1::2], strict=True)
                self._columns = [_join(first, second) for first, second in pairs]
                self.frames_a_column *= 2
            self._columns.append(None)
            self._filled = 0
        self._filled += 1
        if math.isfinite(value):
            self._columns[-1] = _join(self._columns[-1], _Column(value, value, value, 1))

    def columns(self) -> list[tuple[float, float, float] | None]:
        """Return smallest, mean and largest of each column; None where it has no finite loss."""
        return [None if c is None else (c.least, c.total / c.count, c.most) for c in self._columns]


def _join(first: _Column | None, second: _Column | None) -> _Column | None:
    if first is None or second is None:
        return first or second
    return first.joined(second)


def curve_svg(curves: dict[str, Curve], *, title: str, frames: int, unit: str = "frame") -> str:
    """Draw curves, one over another, with a logarithmic axis where the values span two decades or more.

    Args:
        curves: A curve by output.
        title: What stands above.
        frames: Frames in all.
        unit: What is counted below.

    Returns:
        An SVG document without scripts, of at most about 60 kB a curve.
    """
    drawn = {name: curve.columns() for name, curve in curves.items()}
    known = [column for columns in drawn.values() for column in columns if column is not None]
    least, most = min((c[0] for c in known), default=0.0), max((c[2] for c in known), default=1.0)
    scale = _Scale.over(least, most)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11" '
        f'role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="16" font-size="13">{escape(title)}</text>',
        *_axes(scale, frames, unit),
    ]
    for number, (name, columns) in enumerate(drawn.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts += _curve(columns, scale, colour, frames, curves[name].frames_a_column)
        parts.append(
            f'<text x="{WIDTH - RIGHT - 4}" y="{TOP + 14 * (number + 1)}" fill="{colour}" text-anchor="end">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Scale:
    """From a loss to y; `logarithmic` where it spans two decades."""

    low: float
    high: float
    logarithmic: bool

    @classmethod
    def over(cls, least: float, most: float) -> "_Scale":
        if least > 0 and most / least >= 100:
            return cls(math.log10(least), math.log10(most), logarithmic=True)
        margin = 0.05 * (most - least) or abs(most) or 1.0
        return cls(least - margin, most + margin, logarithmic=False)

    def y(self, value: float) -> float:
        at = math.log10(max(value, 1e-300)) if self.logarithmic else value
        share = (at - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        marks = [self.low + (self.high - self.low) * step / 4 for step in range(5)]
        return [10**mark for mark in marks] if self.logarithmic else marks


def _axes(scale: _Scale, frames: int, unit: str) -> list[str]:
    parts = []
    for value in scale.ticks():
        y = scale.y(value)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for step in range(5):
        frame = 1 + round((max(frames, 1) - 1) * step / 4)
        x = _x(frame - 1, frames)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 14}" text-anchor="middle">{frame}</text>')
    parts.append(f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 2}" text-anchor="middle">{unit}</text>')
    return parts


def _x(number: float, frames: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * number / max(frames - 1, 1)


def _curve(
    columns: list[tuple[float, float, float] | None], scale: _Scale, colour: str, frames: int, step: int
) -> list[str]:
    """Draw each run of columns between gaps: the range as a band, the mean as a line."""
    parts, run = [], []
    for number, column in enumerate([*columns, None]):
        if column is not None:
            middle = number * step + (min(step, frames - number * step) - 1) / 2
            run.append((_x(middle, frames), *(scale.y(value) for value in column)))
        elif run:
            band = [f"{x:.1f},{low:.1f}" for x, low, _, _ in run] + [
                f"{x:.1f},{high:.1f}" for x, _, _, high in run[::-1]
            ]
            line = [f"{x:.1f},{mean:.1f}" for x, _, mean, _ in run]
            parts.append(f'<polygon points="{" ".join(band)}" fill="{colour}" fill-opacity="0.2"/>')
            parts.append(
                f'<polyline points="{" ".join(line)}" fill="none" stroke="{colour}" stroke-width="1.2" stroke-linecap="round"/>'
            )
            run = []
    return parts
