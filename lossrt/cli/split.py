"""`lossrt split`: a network → its backbone, and its heads' weights."""

__all__ = ["split"]

from pathlib import Path
from typing import Annotated

import typer

from lossrt.cli import console
from lossrt.cli.options import JsonOption, MapOption, pairs


def split(
    network: Annotated[
        Path, typer.Argument(help="The network; its weights may lie in other files.", metavar="NETWORK")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for backbone.onnx and heads.safetensors.")],
    at: Annotated[str | None, typer.Option("--at", help="The feature map; without it, what all heads read.")] = None,
    mapping: MapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cut a CenterTrack-style network where its heads begin. Nothing is executed: operators may be anybody's."""
    from lossrt.passes.network_file import read_network
    from lossrt.passes.split import write_split
    from lossrt.passes.split_heads import find_heads, named_outputs

    model = read_network(network)
    outputs = named_outputs(model, pairs(mapping, flag="--map"))
    # No recipe says what the network activates itself, and its heads are the same either way.
    heads = find_heads(model, outputs, at=at, activated=outputs)
    write_split(model, heads, out, folder=network.parent)
    if as_json:
        names = {entry.head: entry.initializers for entry in heads.heads}
        console.show_json({"features": heads.features, "channels": heads.channels, "heads": names})
        return
    console.say(f"features: '{heads.features}', {heads.channels} channels")
    for entry in heads.heads:
        console.say(f"{entry.head}: {', '.join(entry.initializers.values())}")
    console.say(f"wrote {out / 'backbone.onnx'} and {out / 'heads.safetensors'}")
