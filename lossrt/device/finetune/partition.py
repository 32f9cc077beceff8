"""Which frames train and which validate."""

__all__ = ["Partition", "partition"]

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame, FramePair, FrameSequence


@dataclass(frozen=True, slots=True)
class Partition:
    """Frames, each with the one before it.

    Attributes:
        train: Frames to train on.
        validation: Frames to validate on; may be empty.
    """

    train: tuple[FramePair, ...]
    validation: tuple[FramePair, ...]


def partition(sequences: Sequence[FrameSequence], recipe: Recipe, *, fraction: float, seed: int) -> Partition:
    """Keep a part of each sequence for validation.

    A video gives its last frames, since neighbours look alike and a random choice would validate on what was trained;
    still images are chosen at random. Frames without an object stay: they teach the heatmap where nothing is.

    Args:
        sequences: What was annotated.
        recipe: Its classes say what an object is.
        fraction: Part to validate on, in [0, 1); at least one frame of each sequence that has two, unless it is 0.
        seed: Seed of the choice among still images.

    Raises:
        InputError: No frame has an object of the recipe's classes, or none is left to train on.
    """
    train: list[FramePair] = []
    validation: list[FramePair] = []
    for number, sequence in enumerate(sequences):
        pairs = [(frame, sequence.previous(place)) for place, frame in enumerate(sequence.frames)]
        if not sequence.video:
            order = np.random.default_rng([seed, number]).permutation(len(pairs))
            pairs = [pairs[place] for place in order]
        kept = len(pairs) - _held_back(len(pairs), fraction)
        train += pairs[:kept]
        validation += pairs[kept:]
    if not any(_objects(frame, recipe) for frame, _ in train):
        names = ", ".join(sequence.name for sequence in sequences) or "no sequence"
        frames = len(train) + len(validation)
        raise InputError(
            f"annotations ({names}): expected frames with objects of classes 1..{recipe.classes} to train on, got none among {frames} frames; annotate some, or choose a smaller --validation"
        )
    return Partition(tuple(train), tuple(validation))


def _held_back(frames: int, fraction: float) -> int:
    return min(max(round(frames * fraction), 1), frames - 1) if fraction > 0 and frames > 0 else 0


def _objects(frame: Frame, recipe: Recipe) -> int:
    return int(((frame.class_ids >= 1) & (frame.class_ids <= recipe.classes)).sum())
