"""`lossrt finetune`: a network with its heads tuned on annotated frames, without PyTorch."""

__all__ = ["finetune"]

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossrt.cli import console, dashboards
from lossrt.cli.interruption import interruptible
from lossrt.cli.opened import opened
from lossrt.cli.options import (
    MOST_THREADS,
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
    from lossrt.device.finetune.history import History
    from lossrt.device.finetune.run import FinetuneResult


def finetune(
    network: Annotated[Path, typer.Argument(help="The network to tune.", metavar="NETWORK")],
    bundle: Annotated[Path, typer.Option("--bundle", help="Bundle of the network's recipe, with a training step.")],
    annotations: Annotated[Path, typer.Option("--annotations", "--mot", help="Annotations; the format is detected.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The tuned network; OUT.safetensors comes beside it.")],
    frames: Annotated[
        Path | None,
        typer.Option("--frames", help="Folder of the images: img1/000001.jpg, below the sequence's or not."),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            help="Folder of features computed elsewhere instead: SEQUENCE/000001.safetensors or .npz, key 'features'.",
        ),
    ] = None,
    mapping: MapOption = None,
    ports: PortOption = None,
    at: Annotated[str | None, typer.Option("--at", help="The feature map; without it, what all heads read.")] = None,
    scope: Annotated[
        str, typer.Option("--scope", help="full: both convolutions of each head; last: the 1x1.")
    ] = "full",
    optimizer: Annotated[str, typer.Option("--optimizer", help="sgd or adamw.")] = "sgd",
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training frames.")] = 10,
    batch: Annotated[int, typer.Option("--batch", help="Frames a step.")] = 4,
    validation: Annotated[float, typer.Option("--validation", help="Part of the frames to validate on.")] = 0.2,
    patience: Annotated[int, typer.Option("--patience", help="Epochs without progress before it stops; 0: never.")] = 5,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate of the first step.")] = 1e-3,
    schedule: Annotated[str, typer.Option("--schedule", help="constant, cosine or step.")] = "constant",
    seed: SeedOption = 0,
    backend: Annotated[str, typer.Option("--backend", help="ort, ort-cuda, tensorrt or rtx.")] = "ort",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads of ONNX Runtime.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Folder of the checkpoint; OUT.checkpoint without it.")
    ] = None,
    checkpoint_steps: Annotated[int, typer.Option("--checkpoint-steps", help="Steps between checkpoints.")] = 100,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder of the frozen part's maps; OUT.features without it.")
    ] = None,
    cache_limit: Annotated[
        float, typer.Option("--cache-limit", min=0, help="Most that they may take, GiB; inf for no limit.")
    ] = 4.0,
    metrics: Annotated[
        Path | None, typer.Option("--metrics", help="JSON Lines of all losses; OUT.metrics.jsonl without it.")
    ] = None,
    window: Annotated[int, typer.Option("--window", help="Steps of the windowed means.")] = 100,
    curve: dashboards.CurveOption = None,
    tensorboard: dashboards.TensorboardOption = None,
    prometheus: dashboards.PrometheusOption = None,
    prometheus_host: dashboards.PrometheusHostOption = None,
    prometheus_textfile: dashboards.PrometheusFileOption = None,
    plugin: PluginOption = None,
    ort_ops: OrtOpsOption = None,
    engines: EnginesOption = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tune the heads of a network, or go on where the same command was stopped."""
    from lossrt.bundle import check_outputs
    from lossrt.device.backend import Backend
    from lossrt.device.finetune.options import FinetuneOptions
    from lossrt.device.finetune.run import GIB, FinetuneFiles
    from lossrt.device.finetune.run import finetune as run
    from lossrt.device.finetune.setup import FinetuneInputs
    from lossrt.targets.annotations import beyond_classes
    from lossrt.targets.formats import read_annotations

    shown = dashboards.Dashboards(curve, tensorboard, prometheus, prometheus_host, prometheus_textfile)
    runs_on = Backend.trusted(backend, threads=threads, plugins=plugin, operators=ort_ops, trust=trust)
    options = FinetuneOptions(
        scope=scope,
        optimizer=optimizer,
        epochs=epochs,
        batch=batch,
        validation=validation,
        patience=patience,
        lr=lr,
        schedule=schedule,
        seed=seed,
        checkpoint_steps=checkpoint_steps,
    )
    inputs = FinetuneInputs(
        network=network,
        sequences=tuple(read_annotations(annotations)),
        frames=frames,
        features=features,
        outputs=pairs(mapping, flag="--map"),
        ports=pairs(ports, flag="--input"),
        at=at,
    )
    files = FinetuneFiles(out, checkpoint, cache, cache_limit * GIB, metrics)
    source = opened(bundle, trust=trust, libraries=runs_on.libraries, engines=engines)
    read = {"network": network, "annotations": annotations, "images": frames, "features": features}
    own = {"output": out, "--metrics": files.beside(metrics, "metrics.jsonl")}
    check_outputs({**shown.files, **own}, folders=shown.folders, kept=read, bundle=source)
    if source.manifest.recipe is not None and (left_out := beyond_classes(inputs.sequences, source.manifest.recipe)):
        console.warn(left_out)
    with ExitStack() as stack:
        progress = stack.enter_context(console.progress_bar("finetune"))
        stop = stack.enter_context(interruptible())
        result = run(
            inputs,
            source,
            files,
            options=options,
            backend=runs_on,
            progress=progress,
            stop=stop,
            window=window,
            sinks=lambda names: shown.opened(stack, names, title=f"{network.name}, tuned", unit="step"),
        )
    _show(result, out, files.beside(checkpoint, "checkpoint"), as_json=as_json, interrupted=stop.exit_code)


def _show(result: "FinetuneResult", out: Path, checkpoint: Path, *, as_json: bool, interrupted: int) -> None:
    from lossrt.device.finetune.loop import Interruption

    history, position = result.state.history, result.state.position
    rows = history.validations
    asked = isinstance(result.stop, Interruption)
    if result.resumed is not None:
        console.note(f"went on after step {result.resumed} of an earlier run")
    if as_json:
        console.show_json(
            {
                "out": None if result.stop else str(out),
                "steps": len(history.steps),
                "epochs": position.epoch,
                "best_epoch": position.best_epoch,
                "validation_loss": [row[1] for row in rows],
                "diverged": str(result.stop) if result.stop and not asked else None,
                "interrupted": asked,
            }
        )
    if asked:
        console.warn(f"{result.stop}; {out} is not written; the same command goes on from {checkpoint}")
        raise typer.Exit(interrupted)
    if result.stop:
        console.note(
            f"lossrt: error: {result.stop}; {out} is not written, the last good checkpoint is whole in {checkpoint}; begin anew with a smaller --lr and another --checkpoint"
        )
        raise typer.Exit(1)
    if as_json:
        return
    if rows:
        _show_losses(history, position.best_epoch)
        first, best = rows[0][1], position.best_loss
        change = f" ({(best - first) / first:+.1%})" if first else ""
        console.say(f"validation loss: {first:.6g} before, {best:.6g} after epoch {position.best_epoch}{change}")
    console.say(
        f"{len(history.steps)} steps in {position.epoch} epochs; wrote {out} and {out.with_suffix('.safetensors')}"
    )


def _show_losses(history: "History", best_epoch: int) -> None:
    """Show every loss on the frames to validate on, as the network came and with its best weights."""
    from rich.table import Table

    table = Table("output", "before", "best", "change", title="validation", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    best = next((row for row in history.validations if row[0] == best_epoch), history.validations[0])
    for name, before, after in zip(history.loss_names, history.validations[0][1:], best[1:], strict=True):
        change = f"{(after - before) / before:+.1%}" if before else "-"
        table.add_row(name, f"{before:.5g}", f"{after:.5g}", change)
    console.show(table)
