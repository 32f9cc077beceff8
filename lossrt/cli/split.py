"""`lossrt split`: a network → its backbone, and its heads' weights."""

__all__ = ["split"]

from pathlib import Path
from typing import Annotated

import typer

from lossrt.cli import console
from lossrt.cli.options import JsonOption, MapOption, names, pairs


def split(
    network: Annotated[
        Path, typer.Argument(help="The network; its weights may lie in other files.", metavar="NETWORK")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for backbone.onnx and heads.safetensors.")],
    heads: Annotated[
        str | None,
        typer.Option("--heads", help="Heads or outputs to cut off, separated by commas; the others stay as they are."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="The feature map; the heads that start there are cut off, the others stay."),
    ] = None,
    mapping: MapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cut a CenterTrack-style network where its heads begin. Nothing is executed: operators may be anybody's."""
    from lossrt.passes.head_choice import choose_heads
    from lossrt.passes.network_file import read_network
    from lossrt.passes.split import write_split

    model = read_network(network)
    chosen = choose_heads(model, mapping=pairs(mapping, flag="--map"), names=names(heads), at=at)
    found = chosen.heads
    write_split(model, found, out, folder=network.parent, kept=chosen.kept)
    if as_json:
        console.show_json(
            {
                "features": found.features,
                "channels": found.channels,
                "heads": {entry.head: entry.initializers for entry in found.heads},
                "kept": chosen.kept,
                "dropped": chosen.dropped,
            }
        )
        return
    console.say(f"features: '{found.features}', {found.channels} channels")
    for entry in found.heads:
        console.say(f"{entry.head}: {', '.join(entry.initializers.values())}")
    for name in chosen.kept:
        console.say(f"{name}: stays an output of the backbone")
    for name in chosen.dropped:
        console.say(f"{name}: is computed from a head, and is in neither part")
    console.say(f"wrote {out / 'backbone.onnx'} and {out / 'heads.safetensors'}")
