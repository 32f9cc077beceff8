"""The bench's rows as a picture: a bar to the median, a line on to p90 and a tick at p99, fastest first."""

__all__ = ["bench_plot"]

import io
from collections.abc import Sequence

from lossrt.device.bench import BenchRow
from lossrt.errors import BackendError

BAR, LINE = "#0072b2", "#404040"
ROW_IN, WIDTH_IN = 0.42, 7.0  # inches


def bench_plot(rows: Sequence[BenchRow], *, title: str) -> bytes:
    """Draw the rows as SVG; equal rows give equal bytes.

    Args:
        rows: The rows, at least one.
        title: Stands above.

    Raises:
        BackendError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendError(
            f'plot: matplotlib is not installed ({error}); run `pip install "lossrt[report]"`, or leave out --plot'
        ) from error
    ordered = sorted(rows, key=lambda row: -row.median_ms)
    with matplotlib.rc_context({"svg.hashsalt": "lossrt", "svg.fonttype": "none"}):
        figure = Figure(figsize=(WIDTH_IN, 1.2 + ROW_IN * len(ordered)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for place, row in enumerate(ordered):
            axes.barh(place, row.median_ms, height=0.6, color=BAR)
            axes.plot([row.median_ms, row.p90_ms], [place, place], color=LINE, linewidth=1.5)
            axes.plot([row.p99_ms], [place], marker="|", color=LINE, markersize=9)
            axes.annotate(f" {row.median_ms:.3g} ms", (row.p99_ms, place), va="center", fontsize=9)
        axes.set_yticks(range(len(ordered)), [row.name for row in ordered])
        axes.set_xlabel("ms a call: bar median, line to p90, tick p99")
        axes.margins(x=0.15)
        axes.set_xlim(left=0)
        axes.set_title(title, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()
