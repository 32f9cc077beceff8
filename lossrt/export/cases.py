"""Golden cases: inputs that reach every corner of a loss, each a named array set for the recipe's whole batch.

A case is made once, for all heads; each graph takes from it the inputs that its spec names.
"""

__all__ = ["CASES", "CaseSource", "case_arrays", "scene_source"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, Recipe, prediction_name
from lossrt.targets.annotations import FramePair, frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.predictions import half_trained_predictions
from lossrt.targets.scene import walking_pedestrians

Arrays = dict[str, NDArray[Any]]
SATURATED = 30.0  # logit; float32's sigmoid is 1 from 17 on
IGNORED = 3  # regions of the `ignore` case


@dataclass(frozen=True, slots=True)
class CaseSource:
    """Where the cases' arrays come from.

    Attributes:
        pairs: Annotated frames for the `nominal` case, each with the one before it; used in turn to fill the batch.
        predictions: Recorded predictions of the nominal batch; None for the seeded stand-in.
        seed: Seed of everything random.
        name: Name of the annotations, for the manifest.
    """

    pairs: Sequence[FramePair]
    seed: int
    name: str
    predictions: Mapping[str, NDArray[Any]] | None = None


def scene_source(recipe: Recipe, *, seed: int) -> CaseSource:
    """Return a source of generated pedestrians, for a machine without data."""
    return CaseSource(_scene(recipe, recipe.batch, seed=seed), seed, "generated")


def case_arrays(name: str, recipe: Recipe, *, batch: int, source: CaseSource) -> Arrays:
    """Make the arrays of one case.

    Args:
        name: A name from `CASES`.
        recipe: Sizes and heads.
        batch: Number of images.
        source: Annotations and seed.

    Returns:
        Predictions and targets by wire name, for every head of the recipe.
    """
    rng = np.random.default_rng([source.seed, list(CASES).index(name)])
    return CASES[name](recipe, batch, source, rng)


def _encoded(recipe: Recipe, pairs: Sequence[FramePair], seed: int) -> Arrays:
    targets = encode_batch(pairs, recipe).arrays
    return {**half_trained_predictions(targets, recipe, seed=seed), **targets}


def _scene(recipe: Recipe, batch: int, *, seed: int, people: int | None = None, ignored: int = 0) -> list[FramePair]:
    scene = walking_pedestrians(recipe, frames=batch + 1, seed=seed, pedestrians=people, ignored=ignored)
    return frame_pairs([scene])[1:]


def _nominal(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    del rng
    pairs = list(islice(cycle(source.pairs), batch))
    arrays = _encoded(recipe, pairs, source.seed)
    if source.predictions is not None:
        recorded = {name: array[np.arange(batch) % len(array)] for name, array in source.predictions.items()}
        arrays.update(recorded)
    return arrays


def _empty(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """No object: the count is clamped to 1, and every regression loss is exactly 0."""
    del rng
    return _encoded(recipe, _scene(recipe, batch, seed=source.seed, people=0), source.seed)


def _full(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Every slot holds an object: those that the scene left empty get a pixel and targets at random."""
    arrays = _encoded(recipe, _scene(recipe, batch, seed=source.seed, people=recipe.max_objs), source.seed)
    free = arrays["mask"] == 0
    height, width = recipe.map_size
    arrays["ind"][free] = rng.integers(0, height * width, int(free.sum()))
    arrays["cat"][free] = rng.integers(0, recipe.classes, int(free.sum()))
    arrays["mask"][:] = 1
    for head in _regressed(recipe):
        unknown = arrays[f"{head}_mask"] == 0
        arrays[head][unknown] = rng.normal(0, 4, int(unknown.sum()))
        arrays[f"{head}_mask"][:] = 1
    return arrays


def _duplicates(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Objects share a cell: every second object sits where the one before it sits, with targets of its own."""
    del rng
    arrays = _encoded(recipe, _scene(recipe, batch, seed=source.seed), source.seed)
    for image in range(batch):
        slots = np.flatnonzero(arrays["mask"][image])
        pairs = len(slots) // 2
        arrays["ind"][image, slots[1 : 2 * pairs : 2]] = arrays["ind"][image, slots[0 : 2 * pairs : 2]]
    return arrays


def _border(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Objects at the first and the last pixel of the map, and at the corners between."""
    del rng
    arrays = _encoded(recipe, _scene(recipe, batch, seed=source.seed), source.seed)
    height, width = recipe.map_size
    corners = np.array([0, height * width - 1, width - 1, (height - 1) * width])[: recipe.max_objs]
    _put_objects(arrays, recipe, corners)
    return arrays


def _saturated(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Logits of ±30: the probability sits on upstream's clamp, wrong as often as right."""
    arrays = _encoded(recipe, _scene(recipe, batch, seed=source.seed), source.seed)
    for stack in range(recipe.num_stacks):
        for head in recipe.active_heads:
            if HEADS[head].loss == "fast_focal":
                name = prediction_name(head, stack)
                low, high = (1e-4, 1 - 1e-4) if recipe.activation.get(head) == "applied" else (-SATURATED, SATURATED)
                arrays[name] = np.where(rng.random(arrays[name].shape) < 0.5, low, high).astype(np.float32)
    return arrays


def _ignore(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """The heatmap is 1 inside ignored regions, without a mask: those pixels cost nothing."""
    del rng
    return _encoded(recipe, _scene(recipe, batch, seed=source.seed, ignored=IGNORED), source.seed)


def _single(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """One object an image."""
    arrays = _encoded(recipe, _scene(recipe, batch, seed=source.seed, people=1), source.seed)
    height, width = recipe.map_size
    _put_objects(arrays, recipe, rng.integers(0, height * width, 1))
    return arrays


def _put_objects(arrays: Arrays, recipe: Recipe, cells: NDArray[np.int64]) -> None:
    """Place one object at each cell, in the first slots of every image, all its targets known."""
    count = len(cells)
    arrays["ind"][:, :count] = cells
    arrays["mask"][:, :count] = 1
    for head in _regressed(recipe):
        arrays[f"{head}_mask"][:, :count] = 1


def _regressed(recipe: Recipe) -> list[str]:
    return [head for head in recipe.active_heads if HEADS[head].loss == "reg_weighted_l1"]


CASES: dict[str, Callable[[Recipe, int, CaseSource, np.random.Generator], Arrays]] = {
    "nominal": _nominal,
    "empty": _empty,
    "full": _full,
    "duplicates": _duplicates,
    "border": _border,
    "saturated": _saturated,
    "ignore": _ignore,
    "single": _single,
}
