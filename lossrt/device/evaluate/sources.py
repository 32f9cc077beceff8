"""Where heads come from, frame by frame: recorded, made up, or a network's."""

__all__ = ["GeneratedHeads", "HeadSource", "WithParameters"]

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lossrt.device.evaluate.plan import PlannedFrame
from lossrt.recipe import Recipe
from lossrt.targets.encode import encode_frame
from lossrt.targets.predictions import half_trained_predictions
from lossrt.targets.stand_ins import parameters


class HeadSource(Protocol):
    """Heads of planned frames, in their order."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells this source from another, for the output's first line."""
        ...

    def images(self, start: int) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield `pred_<head>` [1, D, H, W] of each frame from number `start` on, and learned parameters if it has any."""
        ...


class GeneratedHeads:
    """Heads that a network half-way through training might give: `lossrt.targets.predictions`.

    Args:
        planned: The frames.
        recipe: Heads and sizes.
        seed: Seed of everything random. Each frame has one of its own, so that any frame can be made again by itself.
    """

    def __init__(self, planned: Sequence[PlannedFrame], recipe: Recipe, *, seed: int) -> None:
        self._planned, self._recipe, self._seed = planned, recipe, seed

    @property
    def identity(self) -> dict[str, Any]:
        """The seed."""
        return {"heads": "generated", "seed": self._seed}

    def images(self, start: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the heads of each frame from number `start` on."""
        learned = parameters(self._recipe, seed=self._seed)
        for number, planned in enumerate(self._planned[start:], start=start):
            targets = encode_frame(planned.frame, planned.previous, self._recipe).arrays
            batch = {name: array[None] for name, array in targets.items()}
            seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
            yield {**half_trained_predictions(batch, self._recipe, seed=seed), **learned}


class WithParameters:
    """Heads with the parameters that are learned with the losses, the same for each frame.

    Args:
        source: Where the heads come from.
        parameters: The parameters by wire name.
    """

    def __init__(self, source: HeadSource, parameters: Mapping[str, NDArray[Any]]) -> None:
        self._source, self._parameters = source, parameters

    @property
    def identity(self) -> dict[str, Any]:
        """The source's, and a digest of the parameters."""
        digest = hashlib.sha256(b"".join(self._parameters[name].tobytes() for name in sorted(self._parameters)))
        return {**self._source.identity, "parameters": digest.hexdigest()[:16]}

    def images(self, start: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the heads of each frame from number `start` on, with the parameters."""
        for heads in self._source.images(start):
            yield {**heads, **self._parameters}
