"""What a training step is timed on: the recipe's own map and widths, one frame; golden cases of steps are tiny."""

__all__ = ["is_step", "step_case"]

import numpy as np

from lossrt.bundle import Bundle, Case
from lossrt.errors import InputError
from lossrt.targets.annotations import frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.scenes import generated_scene
from lossrt.targets.step_inputs import step_inputs

SEED = 0


def is_step(graph: str) -> bool:
    """Say whether a graph is a training step."""
    return graph.startswith("head_step_")


def step_case(bundle: Bundle, graph: str) -> Case:
    """Return inputs of a training step at the sizes that its graph is tuned for, batch 1.

    Raises:
        InputError: The bundle lacks the graph, or was not exported from a recipe.
    """
    entry, recipe = bundle.entry(graph), bundle.manifest.recipe
    if recipe is None:
        raise InputError(
            f"bundle '{bundle.root}': expected a recipe in its manifest, got none; export one from a recipe"
        )
    pairs = frame_pairs([generated_scene(recipe, frames=2, seed=SEED)])[1:]
    targets = encode_batch(pairs, recipe).arrays
    sizes = entry.spec.sizes | {"B": 1}
    arrays = step_inputs(entry.spec, recipe, targets, sizes=sizes, rng=np.random.default_rng(SEED))
    return Case("one frame", arrays)
