"""`lossrt merge`: a network with tuned weights in it."""

__all__ = ["merge"]

from pathlib import Path
from typing import Annotated

import typer

from lossrt.cli import console


def merge(
    network: Annotated[Path, typer.Argument(help="The network that the weights were taken from.", metavar="NETWORK")],
    heads: Annotated[Path, typer.Option("--heads", help="Tuned weights, safetensors under the initializers' names.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The network to write; OUT.safetensors comes beside it.")],
) -> None:
    """Put tuned weights into a network's initializers; everything else of its file stays as it is, byte for byte."""
    from lossrt.arrays import read_arrays
    from lossrt.passes.merge import check_out_path, check_tuned, write_merged
    from lossrt.passes.network_file import read_network

    check_out_path(network, out)
    tuned = read_arrays(heads, what="heads")
    check_tuned(read_network(network), tuned, what=f"heads '{heads}'")
    write_merged(network, tuned, out, heads=heads.read_bytes())
    console.say(f"{len(tuned)} tensors changed; wrote {out} and {out.with_suffix('.safetensors')}")
