"""`lossrt evaluate`: the losses as metrics, frame by frame."""

__all__ = ["evaluate"]

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossrt.cli import console, dashboards
from lossrt.cli.interruption import interruptible
from lossrt.cli.opened import opened
from lossrt.cli.options import (
    MOST_THREADS,
    BundleArgument,
    EnginesOption,
    JsonOption,
    MapOption,
    OrtOpsOption,
    PluginOption,
    PortOption,
    SeedOption,
    TrustOption,
    pairs,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossrt.bundle import Bundle
    from lossrt.device.evaluate.run import Evaluation

GRAPH = "generic_loss"
OUT = Annotated[
    Path | None, typer.Option("-o", "--out", help="Write JSON Lines here: a header, a line a frame, a summary.")
]


def evaluate(
    bundle: BundleArgument,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="Recorded pred_<head>: a folder of <number>.safetensors or .npz, or one file."),
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", "--mot", help="MOTChallenge or COCO; the format is detected.")
    ] = None,
    generate: Annotated[
        int | None,
        typer.Option(
            "--generate", min=1, help="Make up heads for this many frames, and the frames without --annotations."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Run this network on the images of --frames; it gives the heads.")
    ] = None,
    frames: Annotated[
        Path | None, typer.Option("--frames", help="Folder of the images: img1/000001.jpg, or the annotations' names.")
    ] = None,
    mapping: MapOption = None,
    ports: PortOption = None,
    only: Annotated[str | None, typer.Option("--only", help="Frame numbers, such as 1-300; all without it.")] = None,
    parameters: Annotated[
        Path | None,
        typer.Option("--parameters", help="Learned parameters of the losses, safetensors; FairMOT has some."),
    ] = None,
    window: Annotated[int, typer.Option("--window", help="Frames of the windowed mean.")] = 100,
    drift_sigma: Annotated[
        float, typer.Option("--drift-sigma", help="Flag a windowed mean this many standard deviations off.")
    ] = 3.0,
    out: OUT = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the output file.")] = False,
    curve: dashboards.CurveOption = None,
    tensorboard: dashboards.TensorboardOption = None,
    prometheus: dashboards.PrometheusOption = None,
    prometheus_host: dashboards.PrometheusHostOption = None,
    prometheus_textfile: dashboards.PrometheusFileOption = None,
    precision: Annotated[str, typer.Option("--precision", help="One of the bundle's precisions.")] = "fp32",
    backend: Annotated[str, typer.Option("--backend", help="ort, ort-cuda, ort-tensorrt, tensorrt or rtx.")] = "ort",
    threads: Annotated[int, typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads of ONNX Runtime.")] = 1,
    plugin: PluginOption = None,
    ort_ops: OrtOpsOption = None,
    engines: EnginesOption = None,
    trust: TrustOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Evaluate heads against annotations, frame by frame. Exit code 130 when interrupted, with a summary."""
    from lossrt.device.backend import Backend
    from lossrt.device.evaluate.network import NetworkRequest
    from lossrt.device.evaluate.run import Options
    from lossrt.device.evaluate.run import evaluate as run
    from lossrt.device.evaluate.setup import Request, prepared

    runs_on = Backend.trusted(backend, threads=threads, plugins=plugin, operators=ort_ops, trust=trust)
    engine = None if backend in ("tensorrt", "rtx") else engines
    of_model = {"--frames": frames, "--map": mapping, "--input": ports}
    _check_together({**of_model, "--plugin": plugin, "--ort-ops": ort_ops}, needs="--model", given=model is not None)
    shown = dashboards.Dashboards(curve, tensorboard, prometheus, prometheus_host, prometheus_textfile)
    _check_together({"--engines": engine}, needs="--backend tensorrt or rtx", given=False)
    _check_together({"--parameters": parameters}, needs="--heads or --model", given=generate is None)
    options = Options(window=window, drift_sigma=drift_sigma, out=out, resume=resume)
    tables = pairs(mapping, flag="--map"), pairs(ports, flag="--input")
    request = Request(
        heads=heads,
        annotations=annotations,
        generate=generate,
        only=only,
        parameters=parameters,
        network=None if model is None else NetworkRequest(model, frames, *tables, runs_on),
        precision=precision,
        backend=runs_on,
        seed=seed,
    )
    read = {"heads": heads, "annotations": annotations, "network": model, "images": frames, "parameters": parameters}
    with ExitStack() as stack:
        loaded = opened(bundle, trust=trust, libraries=runs_on.libraries, engines=engines)
        _check_places(out, shown, read, loaded)
        ready = prepared(loaded, request, stack)
        for warning in ready.warnings:
            console.warn(warning)
        stop = stack.enter_context(interruptible())
        sinks = shown.opened(stack, ready.session.output_names, title=ready.title, unit="frame")
        result = run(
            ready.planned,
            ready.source,
            ready.session,
            ready.recipe,
            options=replace(options, header=ready.header),
            sinks=sinks,
            stop=stop,
            progress=stack.enter_context(console.progress_bar("evaluate")),
        )
    _show(result, as_json=as_json)
    if result.interrupted:
        console.warn(
            f"interrupted after frame {result.summary['frames']} of {result.summary['planned']}"
            + ("; go on with --resume" if out else "")
        )
        raise typer.Exit(stop.exit_code)


def _check_together(options: "Mapping[str, Any]", *, needs: str, given: bool) -> None:
    """Refuse options that would be of no use here."""
    from lossrt.errors import InputError

    if useless := [] if given else [option for option, value in options.items() if value]:
        raise InputError(
            f"{useless[0]}: expected together with {needs}, which was not given; add it, or leave this out"
        )


def _check_places(
    out: Path | None, shown: dashboards.Dashboards, read: "Mapping[str, Path | None]", bundle: "Bundle"
) -> None:
    """Check where the results go. The output file looks after itself in a folder: it never begins in another's file."""
    from lossrt.bundle import check_outputs

    whole = {what: path for what, path in read.items() if path is not None and not path.is_dir()}
    check_outputs({"--out": out, **shown.files}, folders=shown.folders, kept=whole, bundle=bundle)
    check_outputs(shown.files, kept=read)


def _show(result: "Evaluation", *, as_json: bool) -> None:
    if as_json:
        console.show_json({**result.summary, "resumed": result.resumed, "frames_per_s": result.frames_per_s})
        return
    from rich.table import Table

    summary = result.summary
    rate = f", {result.frames_per_s:.0f} frames/s" if result.frames_per_s else ""
    table = Table(
        "output",
        "mean",
        "deviation",
        "least",
        "most",
        "window",
        "flags",
        title=f"{summary['frames']} frames{rate}",
        title_justify="left",
    )
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name, row in summary["outputs"].items():
        figures = (
            "-" if row[key] is None else f"{row[key]:.5g}" for key in ("mean", "deviation", "least", "most", "window")
        )
        table.add_row(name, *figures, ", ".join(_flag(flag) for flag in summary["flags"] if flag["output"] == name))
    console.show(table)
    if summary["dropped_annotations"]:
        console.warn(f"{summary['dropped_annotations']} annotations found no slot; export with a larger max_objs")


def _flag(flag: dict[str, Any]) -> str:
    frames = "frame" if flag["frames"] == 1 else "frames"
    return f"{flag['kind']} in {flag['frames']} {frames}, first {flag['first'][1]}"
