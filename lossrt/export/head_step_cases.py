"""Golden cases of the training steps: small networks on small maps, since every size but the slots is open.

Each case has the targets of the corner that it is named after, and parameters, state and features at random.
"""

__all__ = ["PERTURBED", "STEP_CASES", "step_case_names", "step_cases"]

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lossrt.export.case_source import Arrays, encoded, scene
from lossrt.models.head_step_spec import spec, step_heads
from lossrt.recipe import Recipe, StepOptimizer, StepScope
from lossrt.targets.filling import place_objects_at, share_cells
from lossrt.targets.step_inputs import StepDraw, step_inputs

MAP = 22, 38
"""Height and width of the cases' map: neither is whole tiles of the convolution."""
FEATURES = 8
NARROWEST, WIDTHS = 6, 4
"""Heads have 6, 7, 8, 9, 6, … hidden channels: no head passes for its neighbour."""
PERTURBED = ("duplicates", "single")
"""The cases whose inputs the gates perturb: they have objects, the second even where there is one slot, and a state."""
SATURATING = 100.0  # puts most logits beyond the clamp
STEEP = 50.0  # makes gradients large


@dataclass(frozen=True, slots=True)
class StepCase:
    """How one case is made.

    Attributes:
        people: Objects in a frame; None for as many as the generated scene has.
        batch: Number of images.
        shared: Whether objects share cells.
        draw: What features, parameters and state are like.
        wanted: Recipes that it shows something for.
    """

    people: int | None = None
    batch: int = 2
    shared: bool = False
    draw: StepDraw = field(default_factory=StepDraw)
    wanted: Callable[[Recipe], bool] = lambda _recipe: True


def _clips(recipe: Recipe) -> bool:
    return recipe.finetune is not None and recipe.finetune.clip_norm > 0


STEP_CASES: dict[str, StepCase] = {
    "nominal": StepCase(draw=StepDraw(started=False)),
    "started": StepCase(),
    "empty": StepCase(people=0),
    "single": StepCase(people=1, batch=1),
    "duplicates": StepCase(shared=True),
    "saturated": StepCase(draw=StepDraw(heatmap=SATURATING)),
    "clipped": StepCase(draw=StepDraw(features=STEEP), wanted=_clips),
}


def step_case_names(recipe: Recipe) -> tuple[str, ...]:
    """Return the cases of a recipe's training steps."""
    return tuple(name for name, case in STEP_CASES.items() if case.wanted(recipe))


def step_cases(recipe: Recipe, scope: StepScope, optimizer: StepOptimizer, *, seed: int) -> dict[str, Arrays]:
    """Make the inputs of every case of a training step.

    Args:
        recipe: Heads, losses, slots, and whether gradients are clipped.
        scope: `full` or `last`.
        optimizer: `sgd` or `adamw`.
        seed: Seed of everything random.
    """
    return {name: _arrays(name, recipe, scope, optimizer, seed) for name in step_case_names(recipe)}


def _arrays(name: str, recipe: Recipe, scope: StepScope, optimizer: StepOptimizer, seed: int) -> Arrays:
    case = STEP_CASES[name]
    small = recipe.model_copy(update={"input": tuple(side * recipe.down_ratio for side in MAP)})
    targets = encoded(small, scene(small, case.batch, seed=seed, people=case.people), seed)
    if case.people != 0 and not targets["mask"].any():
        # With one slot, the scene's first object may lie outside the map.
        height, width = small.map_size
        cell = np.array([(height // 2) * width + width // 2])
        place_objects_at(targets, small, cell, np.random.default_rng(seed))
    if case.shared:
        share_cells(targets)
    widths = {f"K_{head}": NARROWEST + place % WIDTHS for place, head in enumerate(step_heads(small))}
    sizes = small.sizes | {"B": case.batch, "F": FEATURES} | widths
    rng = np.random.default_rng([seed, list(STEP_CASES).index(name)])
    return step_inputs(spec(small, scope, optimizer), small, targets, sizes=sizes, rng=rng, draw=case.draw)
