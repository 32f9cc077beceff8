"""`lossrt validate`: judge a bundle, or a model in the place of one of its graphs."""

__all__ = ["validate"]

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened, report_folder
from lossrt.cli.options import (
    BundleArgument,
    GraphOption,
    JsonOption,
    OrtOpsOption,
    PluginOption,
    PrecisionOption,
    TrustOption,
    names,
)

if TYPE_CHECKING:
    from lossrt.bundle import Bundle
    from lossrt.validators.report import Report


def validate(
    bundle: BundleArgument,
    graph: GraphOption = None,
    precision: PrecisionOption = None,
    model: Annotated[Path | None, typer.Option("--model", help="Judge this file in the place of --graph.")] = None,
    backend: Annotated[str, typer.Option("--backend", help="ort, ort-cuda, ort-tensorrt, tensorrt or rtx.")] = "ort",
    plugin: PluginOption = None,
    ort_ops: OrtOpsOption = None,
    trust: TrustOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="A warning fails as well.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder of the reports, and OUT/engines that of the engines; a packed bundle needs it."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run every golden case and judge every output against the float64 oracle. Exit code 1 when one fails."""
    from lossrt.bundle import check_outputs
    from lossrt.device.backend import Backend
    from lossrt.validators import parity
    from lossrt.validators.naive import naive_rows
    from lossrt.validators.tolerances import Policy

    runs_on = Backend.trusted(backend, plugins=plugin, operators=ort_ops, trust=trust)
    writes = "engines" if backend in ("tensorrt", "rtx") else "reports" if model is None else ""
    source = opened(bundle, trust=trust, libraries=runs_on.libraries, out=out, writes=writes)
    check_outputs({}, folders={"--out": out}, bundle=source)
    policy = Policy(strict=strict)
    with console.progress_bar("validate") as progress:
        results = parity.validate(
            source,
            open_session=lambda path: runs_on.open(path, source),
            graphs=names(graph) or None,
            precisions=names(precision) or None,
            model=model,
            policy=policy,
            progress=lambda step: _tell(step, progress),
        )
        naive = naive_rows(source, results, progress=progress) if model is None else []
    report = _report(source, results, naive, policy, ran=backend)
    if model is None or out is not None:
        _write(report, report_folder(source, out))
    if as_json:
        console.say(report.model_dump_json(by_alias=True, indent=1))
    else:
        _show(report)
    if not all(policy.accepts(result.verdict) for result in results):
        raise typer.Exit(1)


def _tell(step: Any, progress: Callable[[str, int, int], None]) -> None:
    progress(f"{step.graph}.{step.precision} {step.case}", step.done, step.total)
    if step.problem:
        console.warn(f"{step.graph}.{step.precision}, case {step.case}: {step.problem}")


def _report(bundle: "Bundle", results: Any, naive: Any, policy: Any, *, ran: str) -> "Report":
    from lossrt.device.build import engine_notes
    from lossrt.runtime.environment import describe_environment, flat
    from lossrt.runtime.gpu import find_gpu
    from lossrt.validators.report import EngineRow, make_report

    gpu = find_gpu()
    rows = []
    for note in engine_notes(bundle):
        identity, cost = note.record.identity, note.record.cost
        here = gpu is not None and gpu.compute_capability == identity.compute_capability and not identity.variant
        rows.append(
            EngineRow(
                graph=identity.graph,
                precision=identity.precision,
                backend=identity.backend,
                arch=identity.arch,
                dims=note.dims,
                bytes=note.record.bytes,
                kernels=len(cost.kernels) if cost else None,
                scratch_bytes=cost.scratch_bytes if cost else None,
                build_s=note.record.build_s,
                ran=ran == identity.backend and here,
            )
        )
    own = [name for name, entry in bundle.manifest.graphs.items() if entry.oracle == "self"]
    environment = flat(describe_environment()) | ({"oracle": f"self for {', '.join(own)}"} if own else {})
    return make_report(bundle.bundle_id, results, policy=policy, engines=rows, naive=naive, environment=environment)


def _write(report: "Report", folder: Path) -> None:
    from lossrt.validators.documents import write_documents
    from lossrt.validators.report import write_report

    write_report(folder / "report.json", report)
    if left_out := write_documents(report, folder).left_out:
        console.warn(left_out)


def _show(report: "Report") -> None:
    from lossrt.validators.table import report_view

    console.show(report_view(report))
