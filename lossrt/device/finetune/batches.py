"""Frames → what a step takes: the frozen part's maps, computed once and kept, and the targets."""

__all__ = ["FrameArrays", "frame_keys"]

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.device.finetune.cache import FeatureCache
from lossrt.device.finetune.sources import FeatureSource
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
        """Return what the step takes of one frame's maps, from the cache where it is there."""
        key = self.keys[pair[0].sequence, pair[0].index]
        kept = self.cache.get(key) if self.cache else None
        if kept is not None and kept.keys() == set(self.wires.values()):
            return kept
        maps = self.source.maps(pair)
        arrays = {wire: self._at_objects(wire, maps[value], pair) for value, wire in self.wires.items()}
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


def frame_keys(
    pairs: Iterable[FramePair], source: FeatureSource, common: Mapping[str, Any]
) -> dict[tuple[str, int], str]:
    """Return a SHA-256 a frame of all that its arrays follow from, its annotations included.

    Args:
        pairs: The frames.
        source: Digests what is read.
        common: What all frames share: the network's digest, the recipe and the like.
    """
    keys = {}
    for pair in pairs:
        frame = pair[0]
        notes = [hashlib.sha256(a.tobytes()).hexdigest() for a in (frame.boxes, frame.class_ids, frame.track_ids)]
        text = json.dumps([dict(common), frame.sequence, frame.index, notes, source.key(pair)], sort_keys=True)
        keys[frame.sequence, frame.index] = hashlib.sha256(text.encode()).hexdigest()
    return keys
