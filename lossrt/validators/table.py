"""The report in the terminal, as rich tables."""

__all__ = ["MOST_LINES", "engine_table", "naive_table", "report_view", "verdict_table"]

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossrt.validators.overview import (
    ENGINE_HEAD,
    NAIVE_HEAD,
    Grid,
    engine_cells,
    excess_text,
    grids,
    naive_cells,
    problem_lines,
    summary_line,
)
from lossrt.validators.report import EngineRow, NaiveRow, Report
from lossrt.validators.tolerances import Grade

MOST_LINES = 20
"""Problems that the terminal lists."""

_STYLES: dict[Grade, str] = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def report_view(report: Report) -> Group:
    """Return everything that the terminal shows: verdicts, engines, problems, and the summary last."""
    parts: list[RenderableType] = [verdict_table(grid) for grid in grids(report.results)]
    if report.engines:
        parts.append(engine_table(report.engines))
    if report.naive:
        parts.append(naive_table(report.naive))
    lines = problem_lines(report)
    # Text, not markup: `loss_reg[nominal]` would lose its case as an unknown tag.
    parts += [Text(line, style=_STYLES["fail" if line.startswith("FAIL") else "warn"]) for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        parts.append(Text(f"and {len(lines) - MOST_LINES} more; all of them are in report.md"))
    counts = report.summary
    worst: Grade = "fail" if counts.fail else "warn" if counts.warn else "pass"
    return Group(*parts, Text(summary_line(report), style=_STYLES[worst]))


def verdict_table(grid: Grid) -> Table:
    """Return one runtime's verdicts: a row a case, a column a graph, the worst output's error over the allowed one."""
    table = Table(title=f"{grid.title}: error in units of the allowed one", title_justify="left")
    table.add_column("case", no_wrap=True)
    for graph in grid.graphs:
        table.add_column(Text(graph), justify="right")
    for case in grid.cases:
        table.add_row(Text(case), *(_cell(grid, case, graph) for graph in grid.graphs))
    return table


def _cell(grid: Grid, case: str, graph: str) -> Text:
    result = grid.worst.get((case, graph))
    if result is None:
        return Text("–", style="dim")
    return Text(f"{result.verdict} {excess_text(result.excess)}", style=_STYLES[result.verdict])


def naive_table(rows: Iterable[NaiveRow]) -> Table:
    """Return what naive half precision makes of the total; report.md has every loss."""
    table = Table(*NAIVE_HEAD, title="naive half precision, for comparison", title_justify="left", box=None)
    for row in rows:
        if row.output == "loss":
            table.add_row(*(Text(cell) for cell in naive_cells(row)))
    return table


def engine_table(engines: Iterable[EngineRow]) -> Table:
    """Return the engines with their cost."""
    table = Table(title="engines (ran: no = only compiled)", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in ENGINE_HEAD:
        number = name in {"kernels", "scratch B", "engine B", "build s"}
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for engine in engines:
        table.add_row(*map(Text, engine_cells(engine)))
    return table
