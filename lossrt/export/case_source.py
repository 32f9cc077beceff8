"""Where golden cases take their arrays from: annotated frames, encoded, with predictions to go with them."""

__all__ = ["Arrays", "CaseSource", "encoded", "focal_predictions", "regressed_heads", "scene", "scene_source"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import ALTERNATIVES, HEADS, LossKind, Recipe, prediction_name
from lossrt.targets.annotations import FramePair, frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.predictions import half_trained_predictions, parameters
from lossrt.targets.scenes import generated_scene

Arrays = dict[str, NDArray[Any]]
DISTANCES: frozenset[LossKind] = ALTERNATIVES | {"code_weighted_l1"}


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
    """Return a source of generated scenes, for a machine without data."""
    return CaseSource(scene(recipe, recipe.batch, seed=seed), seed, "generated")


def encoded(recipe: Recipe, pairs: Sequence[FramePair], seed: int) -> Arrays:
    """Return targets, stand-in predictions and parameters of a batch of frames, by wire name, for the whole recipe.

    A head whose loss takes the objects' mask has a copy of it as `<head>_mask` all the same, which no graph reads: so
    that what treats heads alike need not know which has a mask of its own.
    """
    targets = encode_batch(pairs, recipe).arrays
    arrays: Arrays = {**half_trained_predictions(targets, recipe, seed=seed), **targets}
    for head in regressed_heads(recipe):
        if f"{head}_mask" not in arrays:
            arrays[f"{head}_mask"] = np.repeat(arrays["mask"][:, :, None], recipe.heads[head], axis=2)
    return arrays | parameters(recipe, seed=seed)


def scene(recipe: Recipe, batch: int, *, seed: int, people: int | None = None, ignored: int = 0) -> list[FramePair]:
    """Return `batch` generated frames, each with the one before it."""
    frames = generated_scene(recipe, frames=batch + 1, seed=seed, objects=people, ignored=ignored)
    return frame_pairs([frames])[1:]


def regressed_heads(recipe: Recipe) -> list[str]:
    """Return the active heads whose loss is a masked distance."""
    return [head for head in recipe.active_heads if recipe.loss_kind(head) in DISTANCES]


def focal_predictions(recipe: Recipe) -> list[tuple[str, str]]:
    """Return the head and the wire name of every predicted heatmap, one a stack."""
    focal = [head for head in recipe.active_heads if HEADS[head].loss == "fast_focal"]
    return [(head, prediction_name(head, stack)) for stack in range(recipe.num_stacks) for head in focal]
