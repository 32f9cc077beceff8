"""`report.md`: the report as text that code hosts render."""

__all__ = ["markdown_report"]

from collections.abc import Iterable, Sequence

from lossrt.validators.overview import (
    ENGINE_HEAD,
    NAIVE_HEAD,
    NAIVE_NOTE,
    Grid,
    engine_cells,
    excess_text,
    grids,
    naive_cells,
    problem_lines,
    summary_line,
)
from lossrt.validators.report import Report


def markdown_report(report: Report) -> str:
    """Return the report as Markdown: summary, problems, verdicts, engines, environment."""
    parts = [f"# Parity of bundle {report.bundle_id[:12]}", f"{summary_line(report)}."]
    if lines := problem_lines(report):
        parts += ["## Problems", "\n".join(f"- `{line}`" for line in lines)]
    if report.results:
        parts += ["## Verdicts", "Each cell has the worst output's error in units of the allowed one."]
        for grid in grids(report.results):
            parts += [f"### {grid.title}", _grid_table(grid)]
    if report.engines:
        note = "An engine that did not run was only compiled: the device that it is for is not here."
        parts += ["## Engines", note, _table(ENGINE_HEAD, map(engine_cells, report.engines))]
    if report.naive:
        parts += ["## Naive half precision", NAIVE_NOTE, _table(NAIVE_HEAD, map(naive_cells, report.naive))]
    if report.environment:
        parts += ["## Environment", _table(("name", "value"), report.environment.items())]
    return "\n\n".join(parts) + "\n"


def _grid_table(grid: Grid) -> str:
    rows = [(case, *(_cell(grid, case, graph) for graph in grid.graphs)) for case in grid.cases]
    return _table(("case", *grid.graphs), rows)


def _cell(grid: Grid, case: str, graph: str) -> str:
    result = grid.worst.get((case, graph))
    if result is None:
        return "–"
    word = result.verdict if result.verdict == "pass" else f"**{result.verdict}**"
    return f"{word} {excess_text(result.excess)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)


def _escaped(cell: object) -> str:
    return " ".join(str(cell).split()).replace("|", "\\|")
