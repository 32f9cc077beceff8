"""`lossrt export`: recipe → bundle."""

__all__ = ["export"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossrt.cli import console
from lossrt.cli.options import JsonOption, RecipeOption, SeedOption, names

if TYPE_CHECKING:
    from lossrt.export.cases import CaseSource
    from lossrt.recipe import Recipe


def export(
    recipe: RecipeOption = "mot17",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the bundle; build/RECIPE without it.")
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", "--mot", help="Real annotations for case nominal; the format is detected."),
    ] = None,
    heads: Annotated[
        Path | None, typer.Option("--heads", help="Recorded predictions, safetensors with keys pred_<head>.")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="Types of the maps: fp32,fp16,bf16.")] = "fp32",
    target: Annotated[
        str, typer.Option("--target", help="ort, jetpack5, jetpack6.0, jetpack6, jetpack7, trt11 or rtx.")
    ] = "ort",
    gather: Annotated[str, typer.Option("--gather", help="function, inline or flat.")] = "function",
    dynamic: Annotated[str, typer.Option("--dynamic", help="Open dimensions: batch, objects, map.")] = "batch",
    static: Annotated[bool, typer.Option("--static", help="No open dimension.")] = False,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Batch size; the recipe's without it.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Export every graph of a recipe with its golden cases. Neither compiles nor judges."""
    from lossrt.recipe import load_recipe

    loaded = load_recipe(recipe, **({} if batch is None else {"batch": batch}))
    source = _source(loaded, annotations, heads, seed)
    with console.progress_bar("export") as progress:
        progress("loading PyTorch", 0, 1)
        from lossrt.export.bundle_from_recipe import bundle_from_recipe
        from lossrt.export.onnx_from_graph import ExportOptions
        from lossrt.validators.oracle.table import ORACLES

        options = ExportOptions(target, gather, () if static else names(dynamic))
        place = out or Path("build") / loaded.name
        bundle = bundle_from_recipe(
            loaded,
            place,
            oracles=ORACLES,
            source=source,
            options=options,
            precisions=names(precision),
            progress=progress,
        )
    manifest = bundle.manifest
    if as_json:
        console.show_json({"bundle": str(place), "bundle_id": bundle.bundle_id, "graphs": list(manifest.graphs)})
        return
    for name, entry in manifest.graphs.items():
        cases = sum(len(group) for group in entry.cases.values())
        console.say(f"{name}: {', '.join(entry.precisions)}, {cases} cases")
    console.say(f"gather: {manifest.gather}; target: {manifest.target}; nominal case: {manifest.annotations}")
    console.say(f"wrote {place} (bundle {bundle.bundle_id[:12]})")


def _source(recipe: "Recipe", annotations: Path | None, heads: Path | None, seed: int) -> "CaseSource":
    from lossrt.errors import InputError
    from lossrt.export.cases import CaseSource, scene_source
    from lossrt.targets.annotations import frame_pairs
    from lossrt.targets.encode import encode_batch
    from lossrt.targets.formats import read_annotations
    from lossrt.targets.predictions import read_heads

    predictions = read_heads(heads, recipe) if heads else None
    if annotations is None:
        scene = scene_source(recipe, seed=seed)
        return CaseSource(scene.pairs, seed, scene.name, predictions)
    sequences = read_annotations(annotations)
    pairs = frame_pairs(sequences)
    for frames in sequences:
        total = frames.total
        console.say(
            f"{frames.name}: {len(frames.frames)} frames, {total.rows} rows, {total.considered} considered, {total.kept} kept"
        )
    for entry in encode_batch(pairs[: recipe.batch], recipe).dropped:
        console.warn(
            f"frame {entry.frame} of '{entry.sequence}': {entry.count} annotations past max_objs={recipe.max_objs} dropped, as upstream does"
        )
    recorded = len(next(iter(predictions.values()))) if predictions else len(pairs)
    if recorded not in (len(pairs), recipe.batch):
        raise InputError(
            f"heads '{heads}': expected predictions for {len(pairs)} annotated frames or a batch of {recipe.batch}, got {recorded}; record them for the same frames"
        )
    return CaseSource(pairs, seed, ", ".join(frames.name for frames in sequences), predictions)
