"""What to say of a bundle that lacks the training step asked for: the command that exports it, or why none can."""

__all__ = ["missing_step"]

from lossrt.bundle import Bundle
from lossrt.device.finetune.options import FinetuneOptions
from lossrt.recipe import Recipe, load_recipe, preset_names, with_steps

OWN = "RECIPE.toml"


def missing_step(bundle: Bundle, recipe: Recipe, options: FinetuneOptions) -> str:
    """Return the message for a bundle without the step's graph.

    Args:
        bundle: The bundle.
        recipe: Its recipe.
        options: Which step is asked for.
    """
    message = (
        f"bundle '{bundle.source}': expected graph '{options.graph}' for --scope {options.scope} "
        f"--optimizer {options.optimizer}, got {', '.join(bundle.manifest.graphs)}"
    )
    if "id" in recipe.active_heads or recipe.num_stacks > 1:
        what = "its identity classifier" if "id" in recipe.active_heads else f"num_stacks = {recipe.num_stacks}"
        return f"{message}; there is no training step for recipe '{recipe.name}' because of {what}: tune it in PyTorch"
    name = recipe.name if _is_preset(recipe) else OWN
    where = "" if name != OWN else f", where {OWN} is the recipe that this bundle was made from"
    return f"{message}; where PyTorch is, run `{_command(bundle, recipe, options, name)}`{where}"


def _command(bundle: Bundle, recipe: Recipe, options: FinetuneOptions, name: str) -> str:
    """Return the line that exports the same bundle with one step more."""
    manifest = bundle.manifest
    there = recipe.finetune.steps if recipe.finetune else ()
    steps = [*there, f"{options.scope}.{options.optimizer}"]
    precisions = next(iter(manifest.graphs.values())).precisions
    words = ["lossrt export --recipe", name, "--head-step", ",".join(steps)]
    words += ["--precision", ",".join(precisions)] if precisions != ("fp32",) else []
    words += ["--target", manifest.target] if manifest.target != "ort" else []
    words += ["--gather", manifest.gather] if manifest.gather != "function" else []
    return " ".join([*words, "-o", "DIR" if bundle.packed else str(bundle.source)])


def _is_preset(recipe: Recipe) -> bool:
    """Say whether the recipe is the preset of its name, whatever steps were exported of it."""
    if recipe.name not in preset_names():
        return False
    return with_steps(load_recipe(recipe.name), ()) == with_steps(recipe, ())
