"""`lossrt build`: bundle → engines."""

__all__ = ["build"]

from typing import Annotated

import typer

from lossrt.cli import console
from lossrt.cli.options import BundleArgument, JsonOption, names


def build(
    bundle: BundleArgument,
    backend: Annotated[
        str | None, typer.Option("--backend", help="tensorrt or rtx; TensorRT where it and a GPU are here, else rtx.")
    ] = None,
    compute_capability: Annotated[
        str | None, typer.Option("--compute-capability", help="GPUs to build for with rtx, such as 8.6,8.9,12.0.")
    ] = None,
    workspace: Annotated[
        int | None, typer.Option("--workspace", min=0, help="Scratch bytes an engine may use; the build fails above.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the graphs of a bundle; engines that still hold are reused."""
    from lossrt.bundle import open_bundle
    from lossrt.device.build import BuildOptions, build_engines

    opened = open_bundle(bundle)
    options = BuildOptions(backend, names(compute_capability), workspace)
    with console.progress_bar("build") as progress:
        notes = build_engines(opened, options=options, progress=progress)
    if as_json:
        console.show_json([note.record.model_dump(mode="json") for note in notes])
        return
    for note in notes:
        cost = note.record.cost
        kernels = f"{len(cost.kernels)} kernels, {cost.scratch_bytes:,} scratch bytes" if cost else "cost unknown"
        console.say(f"{note.record.identity.file}: {note.record.bytes:,} bytes, {kernels}, {note.dims or 'fixed'}")
