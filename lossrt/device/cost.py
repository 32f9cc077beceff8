"""What a bundle's engines cost, as a ledger that can be committed and compared: kernels, scratch memory, engine bytes.

The figures are read off the compiler's log when an engine is built (`lossrt.runtime.build_log`), so that they need no
GPU. One version of the compiler gives the same figures on every machine.
"""

__all__ = [
    "BYTES_SLACK",
    "CostChange",
    "CostRow",
    "KernelNote",
    "Ledger",
    "compare_costs",
    "costs_more",
    "ledger_of",
    "read_ledger",
]

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossrt.bundle import Bundle
from lossrt.device.build import EngineNote
from lossrt.errors import BackendError, InputError

BYTES_SLACK = 0.01
"""Growth of an engine's bytes that counts as none: names of nodes are kept in it. Kernels and scratch have no slack."""

Change = Literal["dearer", "cheaper", "same", "new", "gone"]


class KernelNote(BaseModel):
    """One compute kernel: the compiler's name for it, and the ONNX nodes that ended up in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    onnx_nodes: tuple[str, ...]


class CostRow(BaseModel):
    """One engine.

    Attributes:
        name: Recipe, or a user's graph.
        target: Platform that the graph was exported for.
        graph: Graph name.
        precision: Type of its maps.
        dims: Sizes that it was built for, such as `B=1..10`; empty where it has none to speak of.
        backend: Which compiler.
        backend_version: Its version.
        compute_capability: The GPU that it was built for.
        kernels: Compute kernels.
        scratch_bytes: Largest scratch memory of any kernel.
        engine_bytes: Size of the engine.
        kernel_nodes: The kernels in launch order; empty in a ledger that keeps figures only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    target: str
    graph: str
    precision: str
    dims: str
    backend: str
    backend_version: str
    compute_capability: str
    kernels: int = Field(ge=0)
    scratch_bytes: int = Field(ge=0)
    engine_bytes: int = Field(ge=0)
    kernel_nodes: tuple[KernelNote, ...] = ()

    @property
    def label(self) -> str:
        """The row in one line, for messages."""
        graph = f"{self.graph}.{self.precision}"
        return " ".join(part for part in (self.name, graph, self.dims, self.backend, self.compute_capability) if part)


class Ledger(BaseModel):
    """Costs of many engines: the file that `lossrt cost -o` writes and `--against` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    rows: tuple[CostRow, ...]

    def figures_only(self) -> "Ledger":
        """Return the ledger without the kernels' nodes: short enough to commit, and to read in a diff."""
        return Ledger(rows=tuple(row.model_copy(update={"kernel_nodes": ()}) for row in self.rows))


@dataclass(frozen=True, slots=True)
class CostChange:
    """One engine in two ledgers.

    Attributes:
        change: `dearer` where any of the three figures grew, `cheaper` where one fell and none grew, `same`, `new` or `gone`.
        before: The older row; None where it is new.
        after: The newer row; None where it is gone.
    """

    change: Change
    before: CostRow | None
    after: CostRow | None

    @property
    def message(self) -> str:
        """What changed, in one line."""
        row = self.after or self.before
        if self.before is None or self.after is None or row is None:
            return f"{row.label if row else ''}: {self.change}"
        figures = [
            f"{what} {old:,} → {new:,}" if old != new else f"{what} {old:,}"
            for what, old, new in zip(
                ("kernels", "scratch bytes", "engine bytes"), *map(_figures, (self.before, row)), strict=True
            )
        ]
        versions = sorted({self.before.backend_version, row.backend_version})
        other = f" (compilers {' and '.join(versions)})" if len(versions) > 1 else ""
        return f"{row.label}: {self.change}: {', '.join(figures)}{other}"


def ledger_of(bundle: Bundle, notes: Iterable[EngineNote]) -> Ledger:
    """Put the engines of a bundle into a ledger.

    Args:
        bundle: The bundle.
        notes: Its engines (`lossrt.device.build.build_engines` or `engine_notes`).

    Raises:
        BackendError: There is no engine, or the cost of one is unknown.
    """
    rows = tuple(_row(bundle, note) for note in notes)
    if not rows:
        raise BackendError(f"bundle '{bundle.source}': expected engines, got none; run `lossrt build {bundle.source}`")
    return Ledger(rows=rows)


def read_ledger(path: Path) -> Ledger:
    """Read a ledger.

    Raises:
        InputError: The file is missing or not a ledger.
    """
    try:
        return Ledger.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"ledger '{path}': cannot be read: {error.strerror}; write one with `lossrt cost -o`"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise InputError(f"ledger '{path}': {where}: {first['msg']}; write it again with `lossrt cost -o`") from error


def compare_costs(before: Ledger, after: Ledger) -> list[CostChange]:
    """Compare two ledgers, engine by engine.

    Engines are the same where name, graph, precision, sizes, backend and GPU are. The name does not count where each
    ledger has one only, so that two bundles of one's own can be compared; rows of recipes that `after` knows nothing of
    are passed over.

    Args:
        before: What it cost.
        after: What it costs.

    Returns:
        One entry an engine: those of `after` in order, then what is gone.

    Raises:
        InputError: The two have no engine in common.
    """
    named = len({row.name for row in before.rows}) > 1 or len({row.name for row in after.rows}) > 1
    old, new = _keyed(before.rows, named=named), _keyed(after.rows, named=named)
    if not old.keys() & new.keys():
        raise InputError(
            f"cost: the two have no engine in common (first of each: {_first(before)}; {_first(after)}); compare builds "
            "of the same graphs for the same GPU"
        )
    known = {row.name for row in after.rows}
    changes = [CostChange(_change(old.get(key), row), old.get(key), row) for key, row in new.items()]
    gone = [row for key, row in old.items() if key not in new and (not named or row.name in known)]
    return changes + [CostChange("gone", row, None) for row in gone]


def costs_more(changes: Iterable[CostChange]) -> bool:
    """Say whether any engine of a comparison became dearer."""
    return any(change.change == "dearer" for change in changes)


def _row(bundle: Bundle, note: EngineNote) -> CostRow:
    identity, cost = note.record.identity, note.record.cost
    if cost is None:
        raise BackendError(
            f"engine '{identity.file}': its cost is unknown: {note.record.cost_unknown}; compile it with --backend rtx"
        )
    return CostRow(
        name=bundle.manifest.name,
        target=bundle.manifest.target,
        graph=identity.graph,
        precision=identity.precision,
        dims=note.dims,
        backend=identity.backend,
        backend_version=identity.backend_version,
        compute_capability=identity.compute_capability,
        kernels=len(cost.kernels),
        scratch_bytes=cost.scratch_bytes,
        engine_bytes=note.record.bytes,
        kernel_nodes=tuple(KernelNote(name=kernel.name, onnx_nodes=kernel.onnx_nodes) for kernel in cost.kernels),
    )


def _keyed(rows: Sequence[CostRow], *, named: bool) -> dict[tuple[str, ...], CostRow]:
    return {
        (row.name if named else "", row.graph, row.precision, row.dims, row.backend, row.compute_capability): row
        for row in rows
    }


def _change(before: CostRow | None, after: CostRow) -> Change:
    if before is None:
        return "new"
    old, new = _figures(before), _figures(after)
    room = (0.0, 0.0, BYTES_SLACK * before.engine_bytes)
    if any(now > then + slack for then, now, slack in zip(old, new, room, strict=True)):
        return "dearer"
    return "cheaper" if any(now < then - slack for then, now, slack in zip(old, new, room, strict=True)) else "same"


def _figures(row: CostRow) -> tuple[int, int, int]:
    return row.kernels, row.scratch_bytes, row.engine_bytes


def _first(ledger: Ledger) -> str:
    return ledger.rows[0].label if ledger.rows else "none"
