"""`lossrt build`: bundle → engines."""

__all__ = ["build"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import BundleArgument, JsonOption, PluginOption, TrustOption, names

if TYPE_CHECKING:
    from lossrt.bundle import Bundle

# TensorRT 8.5 and Python 3.8: nothing of ours runs there.
TRTEXEC_ONLY = "jetpack5"


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
    plugin: PluginOption = None,
    trust: TrustOption = None,
    keep_log: Annotated[bool, typer.Option("--keep-log", help="Keep the compiler's log beside each engine.")] = False,
    trtexec: Annotated[
        bool, typer.Option("--trtexec", help="Print the trtexec lines that build there, and build nothing.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The engines go to OUT/engines; a packed bundle needs it."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the graphs of a bundle; engines that still hold are reused."""
    from lossrt.device.build import BuildOptions, build_engines
    from lossrt.runtime.libraries import trusted_library

    digests = tuple(trust or ())
    plugins = tuple(trusted_library(path, trust=digests, option="--plugin") for path in plugin or ())
    source = opened(bundle, trust=digests, libraries=plugins, out=out, engines=out, writes="" if trtexec else "engines")
    lines = _trtexec(source, workspace, plugins) if trtexec or source.manifest.target == TRTEXEC_ONLY else []
    if trtexec:
        if as_json:
            console.show_json({"trtexec": lines})
        else:
            console.say("\n".join(lines))
        return
    options = BuildOptions(backend, names(compute_capability), workspace, plugins, keep_log, digests)
    with console.progress_bar("build") as progress:
        notes = build_engines(source, options=options, progress=progress)
    if lines:
        console.note("JetPack 5 builds its own engines; copy the bundle there and run, in its folder:")
        console.note("\n".join(lines))
    if as_json:
        console.show_json([note.record.model_dump(mode="json") for note in notes])
        return
    for note in notes:
        cost = note.record.cost
        kernels = f"{len(cost.kernels)} kernels, {cost.scratch_bytes:,} scratch bytes" if cost else "cost unknown"
        console.say(f"{note.record.identity.file}: {note.record.bytes:,} bytes, {kernels}, {note.dims or 'fixed'}")


def _trtexec(bundle: "Bundle", workspace: int | None, plugins: tuple[Path, ...]) -> list[str]:
    from lossrt.device.trtexec import trtexec_lines

    return ["mkdir -p engines", *trtexec_lines(bundle, workspace_bytes=workspace, plugins=plugins)]
