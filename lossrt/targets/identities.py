"""Numbers the tracks of several sequences through, for a head that tells them apart."""

__all__ = ["identity_targets", "number_identities"]

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.targets.annotations import Frame, FrameSequence
from lossrt.targets.placement import PlacedObjects

NONE = -1


def number_identities(sequences: Iterable[FrameSequence]) -> list[FrameSequence]:
    """Number the tracks from 0: sequence after sequence, and in each by growing track id.

    The order is FairMOT's (`src/gen_labels_16.py`). The numbers follow from what is read: reading fewer sequences, or
    dropping a track, moves the later ones.

    Args:
        sequences: Frames with track ids; a track is known by its sequence's name and its id. Ignored regions, crowds
            and objects without a track get no number.

    Returns:
        The sequences with `identities` in every frame.
    """
    known = list(sequences)
    tracks: dict[str, NDArray[np.int64]] = {}
    for sequence in known:
        ids = [frame.track_ids[_tracked(frame)] for frame in sequence.frames]
        tracks[sequence.name] = np.unique(np.concatenate([tracks.get(sequence.name, np.zeros(0, np.int64)), *ids]))
    first = dict(zip(tracks, np.cumsum([0, *map(len, tracks.values())]).tolist(), strict=False))
    return [
        replace(
            sequence,
            frames=tuple(
                replace(frame, identities=_numbers(frame, tracks[sequence.name], first[sequence.name]))
                for frame in sequence.frames
            ),
        )
        for sequence in known
    ]


def identity_targets(objects: PlacedObjects) -> NDArray[np.int64]:
    """Return each object's identity: [n] int64 in [-1, N), -1 where it has none.

    Raises:
        InputError: An identity is past the recipe's `identities`.
    """
    frame, recipe = objects.frame, objects.recipe
    if frame.identities is None:
        return np.full(len(objects.slots), NONE, dtype=np.int64)
    numbers = np.maximum(frame.identities[objects.slots], NONE)
    limit = recipe.identities or 0
    if (numbers >= limit).any():
        at = objects.slots[int(np.argmax(numbers))]
        raise InputError(
            f"{frame.title}: track {frame.track_ids[at]}: expected an identity below identities={limit} of recipe "
            f"'{recipe.name}', got {frame.identities[at]}; set identities to the number of tracks that the network was "
            "trained with, or give annotations of the sequences it was trained on"
        )
    return numbers


def _tracked(frame: Frame) -> NDArray[np.bool_]:
    return (frame.class_ids >= 1) & ~frame.is_crowd & (frame.track_ids >= 0)


def _numbers(frame: Frame, tracks: NDArray[np.int64], first: int) -> NDArray[np.int64]:
    return np.where(_tracked(frame), first + np.searchsorted(tracks, frame.track_ids), NONE)
