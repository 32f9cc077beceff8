"""`lossrt bench`: the exported graph beside PyTorch and upstream's formulation, in one run."""

__all__ = ["bench"]

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import BundleArgument, JsonOption, TrustOption

if TYPE_CHECKING:
    from lossrt.bundle import Bundle
    from lossrt.device.bench import BenchRow

OURS = "lossrt"
GRAPH = "generic_loss"


def bench(
    bundle: BundleArgument,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of every contender.")] = 1,
    iterations: Annotated[int, typer.Option("--iterations", min=1, help="Rounds that count.")] = 50,
    warm_up: Annotated[int, typer.Option("--warm-up", min=0, help="Rounds before them.")] = 5,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time `generic_loss` on the nominal batch: ours and upstream's in ONNX Runtime, PyTorch where it is installed."""
    from lossrt.bundle import Case
    from lossrt.device.bench import bench as run_rounds

    source = opened(bundle, trust=trust)
    source.entry(GRAPH)
    case = Case.load(source.case_path(GRAPH, "fp32", "nominal"))
    with console.progress_bar("bench") as progress:
        progress("compiling contenders", 0, 1)
        contenders = _contenders(source, case.input, threads)
        rows = run_rounds(contenders, baseline=OURS, iterations=iterations, warm_up=warm_up, progress=progress)
    batch = len(case.input["ind"])
    if as_json:
        console.show_json(
            {"graph": GRAPH, "batch": batch, "threads": threads, "rows": [dataclasses.asdict(row) for row in rows]}
        )
        return
    _show(rows, f"{GRAPH}, B {batch}, {threads} thread{'s' if threads > 1 else ''}, {iterations} rounds side by side")


def _contenders(bundle: "Bundle", arrays: dict[str, Any], threads: int) -> dict[str, Callable[[], object]]:
    from lossrt.runtime.ort import OrtSession

    calls: dict[str, Callable[[], object]] = {
        OURS: OrtSession(bundle.graph_path(GRAPH, "fp32"), threads=threads).bound(arrays),
        "upstream exported": OrtSession(bundle.baseline_path("fp32"), threads=threads).bound(arrays),
    }
    recipe = bundle.manifest.recipe
    if recipe is not None and importlib.util.find_spec("torch"):
        from lossrt.models.contenders import pytorch_calls

        calls |= pytorch_calls(GRAPH, recipe, arrays, threads=threads)
    return calls


def _show(rows: "list[BenchRow]", title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("contender", "median ms", "p90 ms", "p99 ms", f"time / {OURS}", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(row.name, f"{row.median_ms:.2f}", f"{row.p90_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.ratio:.2f}")
    Console().print(table)
