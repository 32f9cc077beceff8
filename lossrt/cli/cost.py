"""`lossrt cost`: what the engines of a bundle cost, and what became more expensive."""

__all__ = ["cost"]

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import BundleArgument, JsonOption, TrustOption, names

if TYPE_CHECKING:
    from lossrt.bundle import Bundle
    from lossrt.device.build import BuildOptions
    from lossrt.device.cost import CostChange, Ledger


def cost(
    bundle: BundleArgument,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="A bundle, or a ledger: exit code 1 where this one costs more."),
    ] = None,
    backend: Annotated[str, typer.Option("--backend", help="rtx, which needs no GPU, or tensorrt.")] = "rtx",
    compute_capability: Annotated[
        str | None, typer.Option("--compute-capability", help="GPUs to build for with rtx, such as 8.6,8.9,12.0.")
    ] = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="List the ONNX nodes of each kernel.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write the ledger to this file.")] = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """List kernels, scratch memory and engine bytes of every graph; engines that still hold are reused.

    Those of a packed bundle are compiled anew and not kept.
    """
    from lossrt.bundle import check_outputs, replace_file
    from lossrt.device.build import BuildOptions
    from lossrt.device.cost import compare_costs, costs_more

    options = BuildOptions(backend, names(compute_capability))
    source = opened(bundle, trust=trust)
    check_outputs({"--out": out}, kept={"other": against}, bundle=source)
    ledger = _measured(source, options)
    changes = None if against is None else compare_costs(_other(against, options), ledger)
    if out is not None:
        replace_file(out, (ledger.model_dump_json(by_alias=True, indent=1) + "\n").encode())
    if as_json:
        _show_json(ledger, changes)
    elif changes is None:
        _show(ledger, nodes=nodes)
    else:
        for change in changes:
            console.say(change.message)
    if changes is not None and costs_more(changes):
        raise typer.Exit(1)


def _measured(bundle: "Bundle", options: "BuildOptions") -> "Ledger":
    from lossrt.device.build import build_engines
    from lossrt.device.cost import ledger_of

    with console.progress_bar("cost") as progress:
        place = dataclasses.replace(bundle, out=bundle.root)
        return ledger_of(bundle, build_engines(place, options=options, progress=progress))


def _other(path: Path, options: "BuildOptions") -> "Ledger":
    from lossrt.bundle import is_packed
    from lossrt.device.cost import read_ledger

    return _measured(opened(path), options) if path.is_dir() or is_packed(path) else read_ledger(path)


def _show_json(ledger: "Ledger", changes: "list[CostChange] | None") -> None:
    data = ledger.model_dump(mode="json", by_alias=True)
    if changes is not None:
        data["changes"] = [{"change": change.change, "message": change.message} for change in changes]
    console.show_json(data)


def _show(ledger: "Ledger", *, nodes: bool) -> None:
    from rich.table import Table

    versions = ", ".join(sorted({f"{row.backend} {row.backend_version}" for row in ledger.rows}))
    table = Table(
        "graph",
        "GPU",
        "sizes",
        "kernels",
        "scratch B",
        "engine B",
        title=f"compiled by {versions}",
        title_justify="left",
    )
    for column in table.columns[3:]:
        column.justify = "right"
    for row in ledger.rows:
        figures = (f"{figure:,}" for figure in (row.kernels, row.scratch_bytes, row.engine_bytes))
        table.add_row(f"{row.graph}.{row.precision}", row.compute_capability, row.dims, *figures)
    console.show(table)
    for row in ledger.rows if nodes else ():
        console.say(f"\n{row.label}")
        for number, kernel in enumerate(row.kernel_nodes, start=1):
            console.say(f"  kernel {number}: {', '.join(kernel.onnx_nodes) or 'no ONNX node named'}")
