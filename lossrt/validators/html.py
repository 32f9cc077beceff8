"""`report.html`: the report as one file that needs no network, for a screen, a phone and paper.

All that a report says reaches the page through the template, which escapes it; only our own style sheet, script and
drawings go in as they are, and the page's content policy lets no other script run.
"""

__all__ = ["html_report"]

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from lossrt.validators.overview import (
    ENGINE_HEAD,
    NAIVE_HEAD,
    NAIVE_NOTE,
    Grid,
    engine_cells,
    excess_text,
    grids,
    naive_cells,
    summary_line,
)
from lossrt.validators.plots import ULP_BINS, excess_plot, ulp_counts, ulp_plot
from lossrt.validators.report import Report, Result
from lossrt.validators.tolerances import WARN_BAND, Grade

MOST_PROBLEMS = 30
"""Cases that the page lists before the reader asks for the rest."""

_SEVERITY: dict[Grade, int] = {"fail": 0, "warn": 1, "pass": 2}


@dataclass(frozen=True, slots=True)
class _Runtime:
    """The results of one precision on one runtime, with their drawings."""

    anchor: str
    grid: Grid
    rows: list[Result]
    ulp_text: str
    excess_svg: str
    ulp_svg: str


def html_report(report: Report) -> str:
    """Return the report as an HTML page; equal reports give equal pages.

    Raises:
        ModuleNotFoundError: Jinja2 or matplotlib is missing; they are the extra `report`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    package = "lossrt.validators"
    jinja = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    anchors = {id(row): f"r{number}" for number, row in enumerate(report.results)}
    jinja.filters |= {
        "anchor": lambda row: anchors[id(row)],
        "excess": _excess,
        "number": lambda value: f"{value:.9g}",
        "short": lambda value: f"{value:.3g}",
        "trusted": Markup,
    }
    folder = resources.files(package) / "templates"
    style, script = ((folder / name).read_text("utf-8") for name in ("report.css", "report.js"))
    return jinja.get_template("report.html.j2").render(
        report=report, style=style, script=script, script_hash=_digest(script), **_contents(report)
    )


def _excess(excess: float) -> str:
    """Write an excess as short as a column on a phone wants it: `0.031`, `4.5e3`, `∞`."""
    return excess_text(excess).replace("inf", "∞").replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def _contents(report: Report) -> dict[str, Any]:
    counts, environment = report.summary, report.environment
    return {
        "recipes": ", ".join(dict.fromkeys(row.recipe for row in report.results)) or "no result",
        "worst": "fail" if counts.fail else "warn" if counts.warn else "pass" if report.results else "none",
        "summary": summary_line(report),
        "runtimes": [_runtime(f"g{number}", grid, report.results) for number, grid in enumerate(grids(report.results))],
        "problems": _problems(report.results),
        "most_problems": MOST_PROBLEMS,
        "engine_head": ENGINE_HEAD,
        "engines": [engine_cells(engine) for engine in report.engines],
        "naive_head": NAIVE_HEAD,
        "naive_note": NAIVE_NOTE,
        "naive": [naive_cells(row) for row in report.naive],
        "constants": [
            (sign, environment[name]) for sign, name in (("κ", "kappa"), ("λ", "lambda")) if name in environment
        ],
        "warn_band": f"{WARN_BAND:g}",
    }


def _runtime(anchor: str, grid: Grid, results: Iterable[Result]) -> _Runtime:
    key = (grid.precision, grid.backend, grid.arch)
    rows = [row for row in results if (row.precision, row.backend, row.arch) == key]
    counts = ulp_counts(rows)
    return _Runtime(
        anchor=anchor,
        grid=grid,
        rows=rows,
        ulp_text=", ".join(f"{count} at {name}" for name, count in zip(ULP_BINS, counts, strict=True) if count),
        excess_svg=excess_plot(rows, salt=f"{anchor}-excess"),
        ulp_svg=ulp_plot(counts, salt=f"{anchor}-ulp"),
    )


def _problems(results: Iterable[Result]) -> list[list[Result]]:
    """Group what does not pass by case, the worst case and its worst output first."""
    cases: dict[tuple[str, ...], list[Result]] = {}
    for row in results:
        if row.verdict != "pass":
            cases.setdefault((row.graph, row.precision, row.backend, row.arch, row.case), []).append(row)
    groups = [sorted(rows, key=_badness) for rows in cases.values()]
    return sorted(groups, key=lambda rows: _badness(rows[0]))


def _badness(row: Result) -> tuple[int, float]:
    return _SEVERITY[row.verdict], -row.excess


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
