"""`lossrt recipes`: the presets, and their text."""

__all__ = ["recipes"]

from typing import Annotated

import typer

from lossrt.cli import console
from lossrt.cli.options import JsonOption


def recipes(
    action: Annotated[str, typer.Argument(help="`list`, `names`, or `show` to print one as TOML.")] = "list",
    name: Annotated[str | None, typer.Argument(help="Which preset to show.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the presets, or print one: `lossrt recipes show mot17 > mine.toml`."""
    from lossrt.errors import InputError, nearest
    from lossrt.recipe import load_recipe, preset_names, preset_text

    if action == "show":
        if name is None:
            raise InputError(f"recipes show: expected a preset's name; valid: {', '.join(preset_names())}")
        console.say(preset_text(name).rstrip("\n"))
        return
    if action == "names":
        console.say("\n".join(preset_names()))
        return
    if action != "list":
        raise InputError(f"recipes '{action}': unknown; {nearest(action, ('list', 'names', 'show'))}")
    loaded = [load_recipe(preset) for preset in preset_names()]
    if as_json:
        console.show_json([recipe.model_dump() for recipe in loaded])
        return
    for recipe in loaded:
        height, width = recipe.map_size
        heads = ", ".join(f"{head} {channels}×{recipe.weights[head]:g}" for head, channels in recipe.heads.items())
        console.say(
            f"{recipe.name}: map {height}×{width}, classes {recipe.classes}, M {recipe.max_objs}, batch {recipe.batch}; {heads}"
        )
