"""`lossrt export`: recipe → bundle."""

__all__ = ["export"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossrt.cli import console
from lossrt.cli.options import JsonOption, RecipeOption, SeedOption, names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lossrt.bundle import Bundle
    from lossrt.export.cases import CaseSource
    from lossrt.recipe import Recipe


def export(
    graph: Annotated[
        str | None, typer.Argument(help="A recipe, or a loss of your own.", metavar="[RECIPE|FILE.py:CLASS]")
    ] = None,
    recipe: RecipeOption = None,
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
    head_step: Annotated[
        str | None,
        typer.Option(
            "--head-step", help="Training steps to write, such as full.sgd,last.adamw; the recipe's without it."
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Batch size; the recipe's without it.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Export every graph of a recipe, or a loss of your own, with its golden cases. Neither compiles nor judges."""
    own = graph is not None and ".py:" in graph
    _check_given(
        {
            "--recipe": recipe,
            "--annotations": annotations,
            "--heads": heads,
            "--head-step": head_step,
            "--batch": batch,
        },
        graph=graph,
        own=own,
    )
    with console.progress_bar("export") as progress:
        progress("loading PyTorch", 0, 1)
        from lossrt.export.onnx_from_graph import ExportOptions

        options = ExportOptions(target, gather, () if static else names(dynamic))
        if graph is not None and own:
            from lossrt.export.bundle_from_module import bundle_from_module
            from lossrt.export.user_graph import load_user_graph

            user = load_user_graph(graph, open_batch="B" in options.open_dims)
            bundle = bundle_from_module(
                user,
                out or Path("build") / user.spec.name,
                seed=seed,
                options=options,
                precisions=names(precision),
                progress=progress,
            )
        else:
            from lossrt.export.bundle_from_recipe import bundle_from_recipe
            from lossrt.recipe import load_recipe, with_steps
            from lossrt.validators.oracle.table import ORACLES

            loaded = load_recipe(graph or recipe or "mot17", **({} if batch is None else {"batch": batch}))
            if head_step is not None:
                loaded = with_steps(loaded, names(head_step))
            bundle = bundle_from_recipe(
                loaded,
                out or Path("build") / loaded.name,
                oracles=ORACLES,
                source=_source(loaded, annotations, heads, seed),
                options=options,
                precisions=names(precision),
                progress=progress,
            )
    _show(bundle, as_json=as_json)


def _check_given(options: "Mapping[str, object]", *, graph: str | None, own: bool) -> None:
    """Refuse options that a loss of one's own has no use for, and a second recipe."""
    from lossrt.errors import InputError

    given = [option for option, value in options.items() if value is not None]
    if own and given:
        raise InputError(f"{given[0]}: expected with a recipe, got '{graph}', whose SPEC says all; leave it out")
    if graph is not None and "--recipe" in given:
        raise InputError(f"--recipe {options['--recipe']}: expected one recipe, got '{graph}' as well; leave one out")


def _show(bundle: "Bundle", *, as_json: bool) -> None:
    manifest = bundle.manifest
    if as_json:
        console.show_json({"bundle": str(bundle.root), "bundle_id": bundle.bundle_id, "graphs": list(manifest.graphs)})
        return
    for name, entry in manifest.graphs.items():
        cases = sum(len(group) for group in entry.cases.values())
        console.say(f"{name}: {', '.join(entry.precisions)}, {cases} cases")
    console.say(f"gather: {manifest.gather}; target: {manifest.target}; nominal case: {manifest.annotations}")
    console.say(f"wrote {bundle.root} (bundle {bundle.bundle_id[:12]})")


def _source(recipe: "Recipe", annotations: Path | None, heads: Path | None, seed: int) -> "CaseSource":
    from lossrt.errors import InputError
    from lossrt.export.cases import CaseSource, scene_source
    from lossrt.targets.annotations import beyond_classes, frame_pairs
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
        console.note(
            f"{frames.name}: {len(frames.frames)} frames, {total.rows} rows, {total.considered} considered, {total.kept} kept"
        )
    if left_out := beyond_classes(sequences, recipe):
        console.warn(left_out)
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
