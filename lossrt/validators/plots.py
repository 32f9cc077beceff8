"""The plots of `report.html` as SVG: as wide as a phone, and coloured by the page's own themes.

Text stays text in the page's font, and colours become names that the page's style sheet defines (`var(--pass)`), so
that one drawing serves light, dark and paper. Equal reports give equal bytes.
"""

__all__ = ["ULP_BINS", "excess_plot", "ulp_bin", "ulp_counts", "ulp_plot"]

import io
import math
import re
import warnings
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lossrt.validators.report import Result
from lossrt.validators.tolerances import WARN_BAND, Grade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ULP_BINS = ("0", "½", "1", "2", "4", "16", "64", "256", "1k", ">1k", "∞")
"""Names of the bins of `ulp_bin`: the upper edge of each but the last two."""
_EDGES = (0.0, 0.5, 1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 1024.0)

# Colours that matplotlib draws with, and what they become in the page.
_COLOURS = {
    "#000001": "var(--ink)",
    "#000002": "var(--muted)",
    "#000003": "var(--line)",
    "#000004": "var(--pass)",
    "#000005": "var(--warn)",
    "#000006": "var(--fail)",
    "#000007": "var(--bar)",
}
_INK, _MUTED, _LINE, _PASS, _WARN, _FAIL, _BAR = _COLOURS
_MARKS: dict[Grade, tuple[str, str, float]] = {
    "fail": (_FAIL, "X", 20),
    "warn": (_WARN, "D", 11),
    "pass": (_PASS, "o", 9),
}

_WIDTH = 255.0  # pt: 340 px, which a phone of 380 px shows at its own size
_TEXT = 8.25  # pt: 11 px
_LANE = 29.0  # pt
_LEAST = -6
"""Decade at which smaller excesses are drawn too; 0 stands left of it."""
_PITCH, _DEPTH = 0.11, 5
"""Marks of one lane stand at least so many decades apart, or above each other up to so many; others are covered."""


def ulp_bin(ulp: float) -> int:
    """Return the index in `ULP_BINS` of an error in units of the last place; NaN counts as not finite."""
    return bisect_left(_EDGES, ulp) if math.isfinite(ulp) else len(ULP_BINS) - 1


def ulp_counts(rows: Iterable[Result]) -> list[int]:
    """Count results by `ulp_bin`."""
    counts = Counter(ulp_bin(row.ulp) for row in rows)
    return [counts[at] for at in range(len(ULP_BINS))]


def ulp_plot(counts: Sequence[int], *, salt: str) -> str:
    """Draw the counts of `ulp_counts` as bars; `salt` keeps the identifiers of one page apart. Returns an `svg`."""
    with _figure(salt, height=96) as (figure, axes):
        axes.bar(range(len(counts)), counts, color=_BAR, width=0.82)
        for at, count in enumerate(counts):
            if count:
                axes.annotate(f"{count}", (at, count), (0, 2), textcoords="offset points", ha="center", color=_INK)
        axes.set_xlim(-0.6, len(counts) - 0.4)
        axes.set_ylim(0, max([*counts, 1]) * 1.18)
        axes.set_xticks(range(len(counts)), ULP_BINS)
        return _svg(figure)


def excess_plot(rows: Sequence[Result], *, salt: str) -> str:
    """Draw errors in units of the allowed ones: a lane for each graph, a mark for each result that can be told apart.

    Args:
        rows: Results of one precision on one runtime; not empty.
        salt: Keeps the identifiers of one page apart.

    Returns:
        An `svg` element.
    """
    lanes = list(dict.fromkeys(row.graph for row in rows))
    finite = [math.log10(row.excess) for row in rows if 0 < row.excess < math.inf]
    top = min(math.ceil(max([*finite, 2.0])), 12)
    with _figure(salt, height=_LANE * len(lanes) + 24) as (figure, axes):
        axes.set_xlim(_LEAST - 1.2, top + 1.2)
        axes.set_ylim(len(lanes), 0)
        _draw_bands(axes, top)
        for lane, graph in enumerate(lanes):
            if lane:
                axes.axhline(lane, color=_LINE, linewidth=0.75)
            axes.text(_LEAST - 1.1, lane + 0.08, graph, color=_INK, parse_math=False, va="top")
            _draw_marks(axes, lane + 0.68, [row for row in rows if row.graph == graph], top)
        return _svg(figure)


def _draw_bands(axes: "Axes", top: int) -> None:
    allowed, failed, right = 0.0, math.log10(WARN_BAND), top + 1.2
    axes.axvspan(allowed, failed, color=_WARN, alpha=0.13, linewidth=0)
    axes.axvspan(failed, right, color=_FAIL, alpha=0.11, linewidth=0)
    decades = range(_LEAST, top + 1, 2)
    names = [f"{10.0**decade:g}" if abs(decade) < 3 else f"1e{decade}" for decade in decades]
    axes.set_xticks([_LEAST - 0.8, *decades, top + 0.8], ["0", *names, "∞"])


def _draw_marks(axes: "Axes", height: float, rows: list[Result], top: int) -> None:
    taken: Counter[tuple[int, Grade]] = Counter()
    for grade, (colour, marker, size) in _MARKS.items():
        places = []
        for x in sorted(_place(row.excess, top) for row in rows if row.verdict == grade):
            slot = round(x / _PITCH), grade
            if taken[slot] < _DEPTH:
                places.append((x, height + _offset(taken[slot])))
            taken[slot] += 1
        if places:
            xs, ys = zip(*places, strict=True)
            axes.scatter(xs, ys, s=size, c=colour, marker=marker, linewidths=0)


def _place(excess: float, top: int) -> float:
    if excess == 0:
        return _LEAST - 0.8
    return min(max(math.log10(excess), _LEAST), top) if math.isfinite(excess) else top + 0.8


def _offset(count: int) -> float:
    """Return how far from the middle of its lane the next mark of one place stands: in it, below, above, further below."""
    return (1 if count % 2 else -1) * ((count + 1) // 2) * 0.11


@contextmanager
def _figure(salt: str, *, height: float) -> "Iterator[tuple[Figure, Axes]]":
    """Open an empty plot of a height in pt; nothing of matplotlib's settings outlives it."""
    import matplotlib
    from matplotlib.figure import Figure

    # A name in another script has no glyph in matplotlib's own font; the page's font has.
    with (
        matplotlib.rc_context(
            {"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": _TEXT, "font.family": ["DejaVu Sans"]}
        ),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=(_WIDTH / 72, height / 72), facecolor="none")
        axes = figure.add_axes((2 / _WIDTH, 16 / height, 1 - 4 / _WIDTH, 1 - 18 / height), facecolor="none")
        axes.spines[["left", "right", "top"]].set_visible(False)
        axes.spines["bottom"].set_color(_LINE)
        axes.tick_params(axis="x", color=_LINE, labelcolor=_MUTED)
        axes.yaxis.set_visible(False)
        yield figure, axes


def _svg(figure: "Figure") -> str:
    """Return the figure as an element that fits into a page: without prolog, style sheet and names of its parts."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = stream.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style[^>]*>[^<]*</style>|(?<=<g) id=\"[^\"]*\"| transform=\"rotate\(-0 [^\"]*\"", "", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    return re.sub("|".join(_COLOURS), lambda found: _COLOURS[found[0]], text)
