"""A report's rows arranged for people: one grid of cases and graphs a runtime, and one line a problem."""

__all__ = [
    "ENGINE_HEAD",
    "NAIVE_HEAD",
    "NAIVE_NOTE",
    "Grid",
    "engine_cells",
    "excess_text",
    "grids",
    "naive_cells",
    "problem_line",
    "problem_lines",
    "summary_line",
]

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lossrt.validators.report import EngineRow, NaiveRow, Report, Result

ENGINE_HEAD = ("graph", "engine", "sizes", "kernels", "scratch B", "engine B", "build s", "ran")
"""What `engine_cells` gives, in order; "ran: no" is an engine that was only compiled."""
NAIVE_HEAD = ("loss", "oracle", "ours", "naive", "naive error")
"""What `naive_cells` gives, in order."""
NAIVE_NOTE = (
    "Upstream's formulation with every tensor converted to half precision, as users do, run on the CPU with the rounding "
    "of that type; shown for comparison, not judged."
)


@dataclass(frozen=True, slots=True)
class Grid:
    """The results of one precision on one runtime.

    Attributes:
        precision: Type of the maps.
        backend: What ran them.
        arch: What it ran on.
        graphs: Graph names, in the order in which they were judged.
        cases: Case names, in the same order.
        worst: By case and graph, the output with the largest excess; a graph need not have every case.
    """

    precision: str
    backend: str
    arch: str
    graphs: tuple[str, ...]
    cases: tuple[str, ...]
    worst: dict[tuple[str, str], Result]

    @property
    def title(self) -> str:
        """Precision and runtime, for example `fp32 on ort cpu`."""
        return f"{self.precision} on {self.backend} {self.arch}"


def grids(results: Iterable[Result]) -> list[Grid]:
    """Arrange results by precision and runtime, in the order of their first appearance."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.precision, result.backend, result.arch), []).append(result)
    return [_grid(*key, rows) for key, rows in groups.items()]


def _grid(precision: str, backend: str, arch: str, rows: list[Result]) -> Grid:
    worst: dict[tuple[str, str], Result] = {}
    for row in rows:
        place = (row.case, row.graph)
        if place not in worst or row.excess > worst[place].excess:
            worst[place] = row
    graphs, cases = dict.fromkeys(row.graph for row in rows), dict.fromkeys(row.case for row in rows)
    return Grid(precision, backend, arch, tuple(graphs), tuple(cases), worst)


def excess_text(excess: float) -> str:
    """Write an excess short: `0`, `0.031`, `4.5e+03`, `inf`."""
    return f"{excess:.2g}"


def engine_cells(engine: EngineRow) -> tuple[str, ...]:
    """Return an engine's cells under `ENGINE_HEAD`; what the compiler did not tell is a question mark, never a zero."""
    counts = (engine.kernels, engine.scratch_bytes, engine.bytes)
    return (
        f"{engine.graph}.{engine.precision}",
        f"{engine.backend} {engine.arch}",
        engine.dims,
        *("?" if count is None else f"{count:,}" for count in counts),
        f"{engine.build_s:.1f}",
        "yes" if engine.ran else "no",
    )


def naive_cells(row: NaiveRow) -> tuple[str, ...]:
    """Return what naive half precision gives as text: output, oracle, ours, naive, and its relative error."""
    error = abs(row.naive - row.oracle) / abs(row.oracle) if row.oracle else abs(row.naive)
    what = f"{row.output}[{row.case}] {row.precision}"
    return what, f"{row.oracle:.6g}", f"{row.actual:.6g}", f"{row.naive:.6g}", f"{error:.1e}"


def summary_line(report: Report) -> str:
    """Count the verdicts in one sentence."""
    counts = report.summary
    line = f"{_many(len(report.results), 'comparison')}: {counts.passed} pass, {counts.warn} warn, {counts.fail} fail"
    return f"{line}; {_many(counts.not_run, 'engine')} compiled, not run" if counts.not_run else line


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def problem_lines(report: Report) -> list[str]:
    """Describe every failure and then every warning, the worst first."""
    problems = [result for result in report.results if result.verdict != "pass"]
    return [problem_line(result) for result in sorted(problems, key=lambda result: -result.excess)]


def problem_line(result: Result) -> str:
    """Describe one comparison in a line: what, where, both values, and how far beyond what is allowed."""
    at = f" at {result.index}" if result.index else ""
    what = f"{result.graph}.{result.precision} {result.output}[{result.case}]{at} on {result.backend} {result.arch}"
    wanted = f"oracle {result.oracle:.9g}" if result.reference is None else f"reference {result.reference:.9g}"
    whole = f"; as a whole: {result.direction}" if result.direction else ""
    if math.isinf(result.excess):
        return f"{result.verdict.upper()} {what}: got {result.actual:.9g}, {wanted}, which no tolerance covers{whole}"
    allowed = f"{result.allowed:.2g}"
    if result.error and math.isfinite(result.ulp):
        allowed += f", {result.allowed / result.error * result.ulp:.3g} ulp"
    return (
        f"{result.verdict.upper()} {what}: got {result.actual:.9g}, {wanted}, "
        f"{result.excess:.3g}x the allowed error ({allowed}){whole}"
    )
