"""`lossrt attach`: a network and a bundle's losses → one ONNX file."""

__all__ = ["attach"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import JsonOption, MapOption, TrustOption, pairs

if TYPE_CHECKING:
    import onnx

    from lossrt.bundle import Bundle
    from lossrt.passes.attach import Attached

GRAPH = "generic_loss"


def attach(
    network: Annotated[
        Path, typer.Argument(help="The network; its weights may lie in other files.", metavar="NETWORK")
    ],
    bundle: Annotated[Path, typer.Option("--bundle", help="The bundle with the losses.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The ONNX file to write.")],
    mapping: MapOption = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision", help="Type that the losses read maps in; without it, the network's where there is one."
        ),
    ] = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Attach the losses to a network: its outputs and the losses from one file. Nothing is executed."""
    from lossrt.bundle import check_outputs, replace_file
    from lossrt.passes.attach_files import keep_external_data
    from lossrt.passes.external_data import data_files
    from lossrt.passes.network_file import read_network

    losses, model = opened(bundle, trust=trust), read_network(network)
    weights = data_files(model)
    kept = {f"network's weights {name}": network.parent / name for name in weights}
    copied = {f"copy of the network's weights {name}": out.parent / name for name in weights}
    check_outputs({"output": out}, kept={"network": network, **kept, **copied}, bundle=losses)
    attached, chosen = _attached(model, losses, mapping, precision)
    files = keep_external_data(attached.model, source=network.parent, place=out.parent)
    replace_file(out, attached.model.SerializeToString())
    for warning in attached.warnings:
        console.warn(warning)
    if as_json:
        names = {"heads": attached.heads, "inputs": attached.inputs, "outputs": list(attached.outputs)}
        more = {"precision": chosen, "casts": list(attached.casts), "weights": [str(path) for path in files]}
        console.show_json({"network": str(network), "out": str(out), **names, **more})
        return
    _show(attached, chosen)
    console.say(f"wrote {out}" + "".join(f" and {path}" for path in files))


def _attached(
    model: "onnx.ModelProto", bundle: "Bundle", mapping: list[str] | None, precision: str | None
) -> "tuple[Attached, str]":
    from lossrt.errors import InputError
    from lossrt.passes.attach import attach_losses, fitting_precision
    from lossrt.passes.network_file import read_network

    entry, recipe = bundle.entry(GRAPH), bundle.manifest.recipe
    if recipe is None:
        raise InputError(f"bundle '{bundle.root}': expected one of a recipe, got a loss of your own; export a recipe")
    table = pairs(mapping, flag="--map")
    chosen = precision or fitting_precision(model, recipe, entry.precisions, mapping=table)
    if chosen not in entry.precisions:
        raise InputError(
            f"--precision {chosen}: expected one of this bundle ({', '.join(entry.precisions)}); export it with "
            f"--precision fp32,{chosen}"
        )
    return attach_losses(model, read_network(bundle.graph_path(GRAPH, chosen)), recipe, mapping=table), chosen


def _show(attached: "Attached", precision: str) -> None:
    for key, name in attached.heads.items():
        console.say(f"head {key}: output '{name}'" + (f", cast for {precision}" if name in attached.casts else ""))
    console.say(f"targets: {', '.join(attached.inputs.values())}")
    for wire, name in attached.inputs.items():
        if wire != name:
            console.say(f"  {wire} is called {name} here, since the network has a '{wire}' of its own")
    console.say(f"outputs added: {', '.join(attached.outputs)}")
