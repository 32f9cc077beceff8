"""Options that mean the same in every verb."""

__all__ = [
    "MOST_THREADS",
    "BundleArgument",
    "EnginesOption",
    "GraphOption",
    "JsonOption",
    "MapOption",
    "OrtOpsOption",
    "PluginOption",
    "PortOption",
    "PrecisionOption",
    "RecipeOption",
    "SeedOption",
    "TrustOption",
    "names",
    "pairs",
]

from pathlib import Path
from typing import Annotated

import typer

from lossrt.errors import InputError

MOST_THREADS = 1024
"""More than any machine that this is for has; ONNX Runtime starts as many as it is told."""
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", help="Preset name, or the path of a .toml recipe; mot17 without it.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
BundleArgument = Annotated[
    Path, typer.Argument(help="The bundle: its folder, or the file that `lossrt pack` wrote.", metavar="BUNDLE")
]
GraphOption = Annotated[str | None, typer.Option("--graph", help="Graphs, separated by commas; all without it.")]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="Precisions, separated by commas.")]
EnginesOption = Annotated[
    Path | None,
    typer.Option("--engines", help="Engines lie in DIR/engines, as `build --out DIR` puts them.", metavar="DIR"),
]
PortOption = Annotated[
    list[str] | None, typer.Option("--input", help="ROLE=NAME: image, previous_image, previous_heatmap.")
]
PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", help="TensorRT plugin library; its SHA-256 goes with --trust.")
]
OrtOpsOption = Annotated[
    Path | None, typer.Option("--ort-ops", help="Library of ONNX Runtime operators; its SHA-256 goes with --trust.")
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="BUNDLE_ID",
        help="The id that the bundle must have; or the SHA-256 of a library, or of an engine from another machine.",
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="HEAD=OUTPUT where an output of the network is not called as its head."),
]


def names(text: str | None) -> tuple[str, ...]:
    """Split a comma-separated option; nothing where it was not given."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def pairs(values: list[str] | None, *, flag: str) -> dict[str, str]:
    """Read a repeatable option such as `--map hm=OUT1` as a table.

    Raises:
        InputError: A value is not KEY=NAME, or a key comes twice.
    """
    table: dict[str, str] = {}
    for value in values or ():
        key, _, name = value.partition("=")
        if not key or not name or key in table:
            raise InputError(f"{flag} {value}: expected KEY=NAME, each key once, such as {flag} hm=OUT1")
        table[key] = name
    return table
