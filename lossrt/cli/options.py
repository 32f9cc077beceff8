"""Options that mean the same in every verb."""

__all__ = [
    "BundleArgument",
    "GraphOption",
    "JsonOption",
    "OrtOpsOption",
    "PluginOption",
    "PrecisionOption",
    "RecipeOption",
    "SeedOption",
    "TrustOption",
    "names",
]

from pathlib import Path
from typing import Annotated

import typer

RecipeOption = Annotated[str, typer.Option("--recipe", help="Preset name, or the path of a .toml recipe.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
BundleArgument = Annotated[Path, typer.Argument(help="Folder of the bundle.", metavar="BUNDLE")]
GraphOption = Annotated[str | None, typer.Option("--graph", help="Graphs, separated by commas; all without it.")]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="Precisions, separated by commas.")]
PluginOption = Annotated[
    list[Path] | None, typer.Option("--plugin", help="TensorRT plugin library; its SHA-256 goes with --trust.")
]
OrtOpsOption = Annotated[
    Path | None, typer.Option("--ort-ops", help="Library of ONNX Runtime operators; its SHA-256 goes with --trust.")
]
TrustOption = Annotated[
    list[str] | None, typer.Option("--trust", help="SHA-256 of a library, or of an engine from another machine.")
]


def names(text: str | None) -> tuple[str, ...]:
    """Split a comma-separated option; nothing where it was not given."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()
