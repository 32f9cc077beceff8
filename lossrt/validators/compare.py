"""Two reports side by side: what got worse, and by how much.

A comparison of one run is matched with that of the other by recipe, graph, precision, case and output. The runtime may
differ, since two devices are what people compare; where a run has several, those alike are matched first.
"""

__all__ = ["GROWTH", "Change", "Comparison", "EngineChange", "Kind", "compare"]

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from lossrt.errors import InputError
from lossrt.validators.report import EngineRow, Report, Result
from lossrt.validators.tolerances import Grade

Kind = Literal["worse", "grew", "better", "shrank", "alike", "gone", "new"]

GROWTH = 2.0
"""An excess that changes by less is alike: rounding errors of two correct runs differ as much."""

_RANK: dict[Grade, int] = {"pass": 0, "warn": 1, "fail": 2}
_Row = TypeVar("_Row", Result, EngineRow)


@dataclass(frozen=True, slots=True)
class Change:
    """One comparison in both runs; None where a run lacks it."""

    before: Result | None
    after: Result | None

    @property
    def kind(self) -> Kind:
        """What became of it.

        `worse` and `better`: the verdict changed. `grew` and `shrank`: the excess did, by more than `GROWTH`.
        `gone` and `new`: one run lacks it; one that is new and does not pass is `worse`.
        """
        before, after = self.before, self.after
        if after is None:
            return "gone"
        if before is None:
            return "new" if after.verdict == "pass" else "worse"
        if before.verdict != after.verdict:
            return "worse" if _RANK[after.verdict] > _RANK[before.verdict] else "better"
        if after.excess > GROWTH * before.excess:
            return "grew"
        return "shrank" if before.excess > GROWTH * after.excess else "alike"

    @property
    def ratio(self) -> float:
        """The later excess over the earlier one: inf from 0, 1 where both are 0 or inf, NaN where a run lacks it."""
        if self.before is None or self.after is None:
            return math.nan
        before, after = self.before.excess, self.after.excess
        if before == after:
            return 1.0
        return after / before if before else math.inf

    @property
    def row(self) -> Result:
        """The later result, or the only one."""
        row = self.after or self.before
        assert row is not None
        return row


@dataclass(frozen=True, slots=True)
class EngineChange:
    """One engine in both runs; None where a run lacks it."""

    before: EngineRow | None
    after: EngineRow | None

    @property
    def alike(self) -> bool:
        """Whether both runs have it, at the same cost; build times vary and do not count."""
        costs = [(row.kernels, row.scratch_bytes, row.bytes, row.ran) for row in (self.before, self.after) if row]
        return len(costs) == 2 and costs[0] == costs[1]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        before: The earlier run, or the trusted device.
        after: The other one.
        changes: Every comparison of either run; verdicts that got worse first, then by falling excess.
        engines: Every engine of either run.
    """

    before: Report
    after: Report
    changes: tuple[Change, ...]
    engines: tuple[EngineChange, ...]

    @property
    def worse(self) -> bool:
        """Whether a verdict got worse, or a new one does not pass."""
        return any(change.kind == "worse" for change in self.changes)

    @property
    def notes(self) -> list[str]:
        """Say what makes the two runs less alike than they look."""
        notes = []
        if self.before.bundle_id != self.after.bundle_id:
            notes.append("two bundles: the graphs or the inputs of a case may differ")
        constants = ("kappa", "lambda", "accumulate")
        if any(self.before.environment.get(name) != self.after.environment.get(name) for name in constants):
            notes.append("judged with different constants; --kappa and --lambda judge both alike")
        return notes

    @property
    def counts(self) -> dict[Kind, int]:
        """How many comparisons there are of each kind, in the order of importance."""
        kinds = [change.kind for change in self.changes]
        return {kind: kinds.count(kind) for kind in _ORDER}


_ORDER: tuple[Kind, ...] = ("worse", "grew", "gone", "new", "better", "shrank", "alike")


def compare(before: Report, after: Report) -> Comparison:
    """Match two reports.

    Raises:
        InputError: They have no comparison in common.
    """
    changes = [Change(*pair) for pair in _matched(before.results, after.results, _result_key)]
    if not any(change.before and change.after for change in changes):
        had, has = (_graphs(report) for report in (before, after))
        raise InputError(f"reports: no comparison in common, the first has {had}, the second {has}; compare like runs")
    engines = [EngineChange(*pair) for pair in _matched(before.engines, after.engines, _engine_key)]
    changes.sort(key=lambda change: (_ORDER.index(change.kind), -change.row.excess))
    return Comparison(before, after, tuple(changes), tuple(engines))


def _result_key(row: Result) -> Hashable:
    return row.recipe, row.graph, row.precision, row.case, row.output


def _engine_key(row: EngineRow) -> Hashable:
    return row.graph, row.precision, row.dims


def _matched(
    before: Iterable[_Row], after: Iterable[_Row], key: Callable[[_Row], Hashable]
) -> list[tuple[_Row | None, _Row | None]]:
    """Pair rows of the same key: those of the same backend and architecture, then of the same backend, then any."""
    places: dict[Hashable, tuple[list[_Row], list[_Row]]] = {}
    for side, rows in enumerate((before, after)):
        for row in rows:
            places.setdefault(key(row), ([], []))[side].append(row)
    pairs: list[tuple[_Row | None, _Row | None]] = []
    for old, new in places.values():
        for names in (("backend", "arch"), ("backend",), ()):
            for one in tuple(old):
                other = next((row for row in new if _same(one, row, names)), None)
                if other is not None:
                    pairs.append((one, other))
                    old.remove(one)
                    new.remove(other)
        pairs += [(one, None) for one in old]
        pairs += [(None, other) for other in new]
    return pairs


def _same(one: _Row, other: _Row, names: Iterable[str]) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _graphs(report: Report) -> str:
    return ", ".join(dict.fromkeys(f"{row.recipe} {row.graph}.{row.precision}" for row in report.results)) or "none"
