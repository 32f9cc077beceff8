"""Where golden cases take their arrays from: annotated frames, encoded, with predictions to go with them."""

__all__ = ["Arrays", "CaseSource", "encoded", "focal_predictions", "regressed_heads", "scene", "scene_source"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lossrt.recipe import HEADS, Recipe, prediction_name
from lossrt.targets.annotations import FramePair, frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.predictions import half_trained_predictions
from lossrt.targets.scene import walking_pedestrians

Arrays = dict[str, NDArray[Any]]


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
    return CaseSource(scene(recipe, recipe.batch, seed=seed), seed, "generated")


def encoded(recipe: Recipe, pairs: Sequence[FramePair], seed: int) -> Arrays:
    """Return targets and stand-in predictions of a batch of frames, by wire name, for every head of the recipe."""
    targets = encode_batch(pairs, recipe).arrays
    return {**half_trained_predictions(targets, recipe, seed=seed), **targets}


def scene(recipe: Recipe, batch: int, *, seed: int, people: int | None = None, ignored: int = 0) -> list[FramePair]:
    """Return `batch` generated frames, each with the one before it."""
    street = walking_pedestrians(recipe, frames=batch + 1, seed=seed, pedestrians=people, ignored=ignored)
    return frame_pairs([street])[1:]


def regressed_heads(recipe: Recipe) -> list[str]:
    """Return the active heads whose loss is a masked distance."""
    return [head for head in recipe.active_heads if HEADS[head].loss == "reg_weighted_l1"]


def focal_predictions(recipe: Recipe) -> list[tuple[str, str]]:
    """Return the head and the wire name of every predicted heatmap, one a stack."""
    focal = [head for head in recipe.active_heads if HEADS[head].loss == "fast_focal"]
    return [(head, prediction_name(head, stack)) for stack in range(recipe.num_stacks) for head in focal]
