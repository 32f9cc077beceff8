"""Frames → what a step takes: the frozen part's maps, computed once and kept, and the targets."""

__all__ = ["FrameArrays", "cache_keys", "frame_digests"]

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.device.finetune.cache import FeatureCache
from lossrt.device.finetune.sources import FeatureSource
from lossrt.errors import InputError
from lossrt.recipe import HEADS, Recipe
from lossrt.spec import GraphSpec
from lossrt.targets.annotations import FramePair
from lossrt.targets.encode import encode_batch, encode_frame

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class FrameArrays:
    """Makes batches.

    Attributes:
        source: Gives maps.
        wires: Input of the step's graph by value of the network: `features`, or `hidden_<head>`.
        spec: The step's graph, which says which hidden maps it takes at the objects only.
        recipe: Targets.
        cache: Where maps are kept; None keeps none.
        keys: Key of each frame's arrays in the cache, by sequence and frame number.
    """

    source: FeatureSource
    wires: Mapping[str, str]
    spec: GraphSpec
    recipe: Recipe
    cache: FeatureCache | None
    keys: Mapping[tuple[str, int], str]

    def batch(self, pairs: Sequence[FramePair]) -> Arrays:
        """Return features, or hidden maps, and targets of some frames, with B in front."""
        frames = [self.frame(pair) for pair in pairs]
        stacked = {name: np.stack([arrays[name] for arrays in frames]) for name in frames[0]}
        return {**encode_batch(pairs, self.recipe).arrays, **stacked}

    def frame(self, pair: FramePair) -> Arrays:
        """Return what the step takes of one frame's maps, from the cache where it is there.

        Raises:
            InputError: The maps are not finite, or as the source has it.
        """
        key = self.keys[pair[0].sequence, pair[0].index]
        kept = self.cache.get(key) if self.cache else None
        if kept is not None and kept.keys() == set(self.wires.values()):
            return kept
        maps = self.source.maps(pair)
        arrays = {wire: self._at_objects(wire, maps[value], pair) for value, wire in self.wires.items()}
        if broken := [value for value, wire in self.wires.items() if not np.isfinite(arrays[wire]).all()]:
            raise InputError(
                f"{pair[0].title}: expected finite features, got NaN or infinity in '{broken[0]}'; look at the network's "
                "weights, or at the file that the features come from"
            )
        if self.cache:
            self.cache.put(key, arrays)
        return arrays

    def _at_objects(self, wire: str, values: NDArray[Any], pair: FramePair) -> NDArray[Any]:
        """Return a map whole, or [K, S] at its head's index where the graph takes it so."""
        if len(self.spec.input(wire).dims) == 4:
            return values
        index = encode_frame(*pair, self.recipe).arrays[HEADS[wire.removeprefix("hidden_")].index]
        gathered: NDArray[Any] = values.reshape(len(values), -1)[:, index]
        return gathered


def frame_digests(pairs: Iterable[FramePair], source: FeatureSource) -> dict[tuple[str, int], str]:
    """Return a SHA-256 of each frame's data, its annotations included, by sequence and frame number.

    Args:
        pairs: The frames.
        source: Digests what is read.
    """
    digests = {}
    for pair in pairs:
        frame = pair[0]
        notes = [hashlib.sha256(a.tobytes()).hexdigest() for a in (frame.boxes, frame.class_ids, frame.track_ids)]
        digests[frame.sequence, frame.index] = _digest([frame.sequence, frame.index, notes, source.key(pair)])
    return digests


def cache_keys(frames: Mapping[tuple[str, int], str], common: Mapping[str, Any]) -> dict[tuple[str, int], str]:
    """Return a SHA-256 a frame of all that its arrays follow from.

    Args:
        frames: What `frame_digests` gave.
        common: What all frames share: the network's digest, the recipe and the like.
    """
    return {frame: _digest([dict(common), digest]) for frame, digest in frames.items()}


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
