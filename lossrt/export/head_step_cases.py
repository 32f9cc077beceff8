"""Golden cases of the training steps: small networks on small maps, since every size but the slots is open.

Each case has the targets of the corner that it is named after, and parameters, state and features at random.
"""

__all__ = ["PERTURBED", "STEP_CASES", "step_case_names", "step_cases"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.export.case_source import Arrays, encoded, scene
from lossrt.models.head_step_spec import STATE, is_dense, spec, step_heads
from lossrt.recipe import HEADS, Recipe, StepOptimizer, StepScope
from lossrt.spec import TensorSpec, resolved_shape
from lossrt.targets.filling import share_cells

MAP = 22, 38
"""Height and width of the cases' map: neither is whole tiles of the convolution."""
WIDTHS = {"F": 8, "K": 8}
PERTURBED = "duplicates"
"""The case whose inputs the gates perturb: it has objects, and a state."""
LEARNING_RATE = 1e-3
STEPS_DONE = 3.0
HEATMAP_BIAS = -2.2  # logit: a probability of one in ten, as CornerNet starts from
SATURATING = 100.0  # factor that puts most logits beyond the clamp
STEEP = 50.0  # factor that makes gradients large


@dataclass(frozen=True, slots=True)
class StepCase:
    """How one case is made.

    Attributes:
        people: Objects in a frame; None for as many as the generated scene has.
        batch: Number of images.
        started: Whether steps were done before, so that the optimizer has a state.
        heatmap: Factor of the heatmap heads' last weights.
        features: Factor of the features.
        shared: Whether objects share cells.
        wanted: Recipes that it shows something for.
    """

    people: int | None = None
    batch: int = 2
    started: bool = True
    heatmap: float = 1.0
    features: float = 1.0
    shared: bool = False
    wanted: Callable[[Recipe], bool] = lambda _recipe: True


def _clips(recipe: Recipe) -> bool:
    return recipe.finetune is not None and recipe.finetune.clip_norm > 0


STEP_CASES: dict[str, StepCase] = {
    "nominal": StepCase(started=False),
    "started": StepCase(),
    "empty": StepCase(people=0),
    "single": StepCase(people=1, batch=1),
    "duplicates": StepCase(shared=True),
    "saturated": StepCase(heatmap=SATURATING),
    "clipped": StepCase(features=STEEP, wanted=_clips),
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
    height, width = MAP
    small = recipe.model_copy(update={"input": (height * recipe.down_ratio, width * recipe.down_ratio)})
    targets = encoded(small, scene(small, case.batch, seed=seed, people=case.people), seed)
    if case.shared:
        share_cells(targets)
    signature = spec(small, scope, optimizer)
    widths = {dim: WIDTHS[dim[0]] for dim in signature.sizes if dim == "F" or dim.startswith("K_")}
    sizes = signature.sizes | widths | {"B": case.batch}
    rng = np.random.default_rng([seed, list(STEP_CASES).index(name)])
    hidden = _hidden(small, rng, sizes, targets) if scope == "last" else {}
    arrays: Arrays = {}
    for tensor in signature.inputs:
        known = hidden if tensor.name in hidden else targets
        arrays[tensor.name] = known[tensor.name] if tensor.name in known else _drawn(tensor, case, sizes, rng)
    for head in step_heads(small):
        if is_dense(small, head):
            arrays[f"param_{head}_2_weight"] *= np.float32(case.heatmap)
            arrays[f"param_{head}_2_bias"] += np.float32(HEATMAP_BIAS)
    return arrays


def _drawn(tensor: TensorSpec, case: StepCase, sizes: dict[str, int], rng: np.random.Generator) -> NDArray[Any]:
    """Return features, parameters, state or scalars, as they are in the middle of a training."""
    if tensor.name in ("lr", "step"):
        value = LEARNING_RATE if tensor.name == "lr" else STEPS_DONE * case.started
        return np.asarray(value, dtype=np.float32)
    shape = resolved_shape(tensor.dims, sizes)
    values = rng.standard_normal(shape) * _spread(tensor.name, shape)
    if tensor.name == "features":
        values *= case.features
    elif not tensor.name.startswith("param_"):
        values = np.abs(values) if tensor.low == 0 else values
        values *= case.started
    return values.astype(np.float32)


def _spread(name: str, shape: tuple[int, ...]) -> float:
    """Return a standard deviation: weights keep the size of what they are applied to, the rest is smaller."""
    if name == "features":
        return 1.0
    if any(name.startswith(f"{kind}_") for kinds in STATE.values() for kind in kinds):
        return 0.1
    return float(np.prod(shape[1:]) ** -0.5) if len(shape) > 1 else 0.1


def _hidden(recipe: Recipe, rng: np.random.Generator, sizes: dict[str, int], targets: Arrays) -> Arrays:
    """Return hidden activations; those of a head that is read at its slots are gathered from a map."""
    arrays = {}
    for head in step_heads(recipe):
        shape = (sizes["B"], sizes[f"K_{head}"], *MAP)
        whole = np.maximum(rng.standard_normal(shape), 0).astype(np.float32)
        at_slots = np.take_along_axis(whole.reshape(*shape[:2], -1), targets[HEADS[head].index][:, None], axis=2)
        arrays[f"hidden_{head}"] = whole if is_dense(recipe, head) else at_slots
    return arrays
