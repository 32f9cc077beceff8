"""The comparison of two reports, for the terminal and as JSON."""

__all__ = ["MOST_CHANGES", "comparison_data", "comparison_view"]

import math
from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossrt.validators.compare import GROWTH, Change, Comparison, EngineChange, Kind
from lossrt.validators.overview import ENGINE_HEAD, engine_cells, excess_text
from lossrt.validators.report import EngineRow, Report, Result

MOST_CHANGES = 20
"""Changes that the terminal lists; all of them are in the JSON."""

_LISTED: tuple[Kind, ...] = ("worse", "grew")
_STYLES: dict[Kind, str] = {"worse": "bold red", "grew": "yellow"}
_WORDS: dict[Kind, str] = {"grew": f"grew more than {GROWTH:g}x", "shrank": f"shrank more than {GROWTH:g}x"}


def comparison_view(comparison: Comparison) -> Group:
    """Return what the terminal shows: what got worse, engines whose cost changed, notes, and the summary last."""
    listed = [change for change in comparison.changes if change.kind in _LISTED]
    engines = [change for change in comparison.engines if not change.alike]
    both = [(change.before, change.after) for change in engines if change.before and change.after]
    parts: list[RenderableType] = []
    if listed:
        parts += [Text(_title(comparison), style="italic"), _change_table(listed[:MOST_CHANGES], comparison)]
    if len(listed) > MOST_CHANGES:
        parts.append(Text(f"and {len(listed) - MOST_CHANGES} more; --json has all of them"))
    if both:
        parts.append(_engine_table(both))
    if alone := len(engines) - len(both):
        parts.append(Text(f"note: {alone} of {len(comparison.engines)} engines are in one report only"))
    parts += [Text(f"note: {note}") for note in comparison.notes]
    return Group(*parts, Text(_summary(comparison), style="bold red" if comparison.worse else "green"))


def _summary(comparison: Comparison) -> str:
    counts = [f"{count} {_WORDS.get(kind, kind)}" for kind, count in comparison.counts.items() if count]
    return f"{len(comparison.changes)} comparisons: {', '.join(counts)}"


def _change_table(changes: Iterable[Change], comparison: Comparison) -> Table:
    runtimes = [_runtimes(report) for report in (comparison.before, comparison.after)]
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("graph", "output", "before", "after", "by"):
        table.add_column(name, justify="left" if name in {"graph", "output"} else "right", overflow="fold")
    named = any(len(names) > 1 for names in runtimes)
    for change in changes:
        row = change.row
        cells = (
            f"{row.graph}.{row.precision}",
            f"{row.output}[{row.case}]",
            _result_text(change.before, named=named),
            _result_text(change.after, named=named),
            "–" if math.isnan(change.ratio) else f"{excess_text(change.ratio)}x",
        )
        table.add_row(*map(Text, cells), style=_STYLES[change.kind])
    return table


def _title(comparison: Comparison) -> str:
    before, after = (", ".join(_runtimes(report)) for report in (comparison.before, comparison.after))
    return f"what got worse from {before} to {after}: error in units of the allowed one"


def _runtimes(report: Report) -> list[str]:
    return list(dict.fromkeys(f"{row.backend} {row.arch}" for row in report.results))


def _result_text(row: Result | None, *, named: bool) -> str:
    if row is None:
        return "–"
    where = f" on {row.backend} {row.arch}" if named else ""
    return f"{row.verdict} {excess_text(row.excess)}{where}"


def _engine_table(pairs: Iterable[tuple[EngineRow, EngineRow]]) -> Table:
    table = Table(title="engines whose cost changed", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in ("graph", "engine", "sizes", "kernels", "scratch B", "engine B", "ran"):
        table.add_column(name, overflow="fold")
    for before, after in pairs:
        columns = zip(_engine_texts(before), _engine_texts(after), strict=True)
        table.add_row(*(Text(old if old == new else f"{old} → {new}") for old, new in columns))
    return table


def _engine_texts(row: EngineRow) -> tuple[str, ...]:
    cells = dict(zip(ENGINE_HEAD, engine_cells(row), strict=True))
    del cells["build s"]
    return tuple(cells.values())


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as data for JSON; comparisons that are alike are only counted."""
    changes = [change for change in comparison.changes if change.kind != "alike"]
    return {
        "before": _head(comparison.before),
        "after": _head(comparison.after),
        "notes": comparison.notes,
        "counts": comparison.counts,
        "results": [{"kind": change.kind, "ratio": _json_number(change.ratio), **_sides(change)} for change in changes],
        "engines": [_sides(change) for change in comparison.engines if not change.alike],
    }


def _head(report: Report) -> dict[str, Any]:
    return {"bundle_id": report.bundle_id, "summary": report.summary.model_dump(by_alias=True)}


def _sides(change: Change | EngineChange) -> dict[str, Any]:
    sides = {"before": change.before, "after": change.after}
    return {
        name: None if row is None else row.model_dump(mode="json", exclude={"allowance"}) for name, row in sides.items()
    }


def _json_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf"
