"""The training loop: steps, validation, early stopping, checkpoints. The same state always goes on to the same result."""

__all__ = ["Divergence", "Interruption", "Trainer"]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.device.finetune.checkpoint import Position, State, save_state
from lossrt.device.finetune.history import History
from lossrt.device.finetune.measurements import Measurements
from lossrt.device.finetune.options import FinetuneOptions, learning_rate
from lossrt.device.finetune.partition import Partition
from lossrt.device.finetune.step_graph import PARAMETER, StepGraph
from lossrt.errors import InputError
from lossrt.targets.annotations import FramePair

Batch = Callable[[Sequence[FramePair]], dict[str, NDArray[Any]]]
Progress = Callable[[str, int, int], None]
LARGEST_RISE = 10


@dataclass(frozen=True, slots=True)
class Divergence:
    """Why training stopped.

    Attributes:
        what: Which loss, and when; or that it is a weight.
        value: The loss, or the weight.
        first: The same loss at first.
    """

    what: str
    value: float
    first: float

    def __str__(self) -> str:
        reason = "is not finite"
        if math.isfinite(self.value):
            reason = f"is more than {LARGEST_RISE} times the first one ({self.first:g})"
        return f"{self.what} {self.value:g} {reason}: training diverged"


@dataclass(frozen=True, slots=True)
class Interruption:
    """The user stopped training; the checkpoint has all of it.

    Attributes:
        steps: Steps done.
        planned: Steps in all.
    """

    steps: int
    planned: int

    def __str__(self) -> str:
        return f"interrupted after step {self.steps} of {self.planned}"


@dataclass(frozen=True, slots=True)
class Trainer:
    """Everything that a run needs and that does not change.

    Attributes:
        step: The step's graph.
        batch: Makes what it takes of some frames.
        frames: Which train and which validate.
        options: How to train.
        checkpoint: Folder of the checkpoint.
        identity: What the run is of.
        progress: Called with what is being done, steps done and steps in all.
        stop: Asked at each step whether to stop there.
        measurements: Told after each step and each validation.
    """

    step: StepGraph
    batch: Batch
    frames: Partition
    options: FinetuneOptions
    checkpoint: Path
    identity: Mapping[str, Any]
    progress: Progress
    stop: Callable[[], bool]
    measurements: Measurements

    @property
    def steps_an_epoch(self) -> int:
        """Steps of an epoch; the last one may have fewer frames."""
        return math.ceil(len(self.frames.train) / self.options.batch)

    @property
    def planned(self) -> int:
        """Steps of the whole run, early stopping aside."""
        return self.options.epochs * self.steps_an_epoch

    def start(self, parameters: Mapping[str, NDArray[Any]]) -> State:
        """Return the state before the first step, with the network as it came validated.

        Raises:
            InputError: Its loss is not finite.
        """
        carried = self.step.start(parameters)
        state = State(Position(), carried, _weights(carried), History(self.step.loss_names))
        self.validate(state, epochs=0)
        if state.history.validations and not math.isfinite(loss := state.history.validations[0][1]):
            raise InputError(
                f"network: expected a finite loss before the first step, got {loss:g} on the frames to validate on; look "
                "at the heads' weights and the annotations"
            )
        self.save(state)
        return state

    def run(self, state: State) -> Divergence | Interruption | None:
        """Train until the epochs are over, nothing gets better, training diverges, or the user stops it.

        A checkpoint has weights that were found good: those whose loss on further frames is in bounds.

        Args:
            state: Where to begin; changed, and saved on the way.

        Raises:
            StorageError: A checkpoint cannot be written; the one before is whole.
        """
        while not state.position.done:
            epoch = state.position.epoch
            batches = self.batches(epoch)
            for pairs in batches[state.position.step :]:
                if ended := self.advance(state, pairs):
                    return ended
            if diverged := self.judge(state, batches[-1]):
                return diverged
            position = replace(state.position, epoch=epoch + 1, step=0)
            state.position = replace(position, done=self.over(position))
            self.save(state)
        return None

    def advance(self, state: State, pairs: Sequence[FramePair]) -> Divergence | Interruption | None:
        """Do one step and note it. Its loss says whether the weights before it are good: where due, they are saved."""
        done = len(state.history.steps)
        self.progress(f"epoch {state.position.epoch + 1}, step {done + 1}", done, self.planned)
        lr = learning_rate(self.options, done, self.planned)
        result = self.step.run(self.batch(pairs), state.carried, lr=lr)
        loss = result.losses["loss"]
        if diverged := self.diverged(state, f"step {done + 1}: loss", loss):
            return diverged
        if self.stop():
            self.save(state)
            return Interruption(done, self.planned)
        if state.position.step and done % self.options.checkpoint_steps == 0:
            self.save(state)
        broken = [array[~np.isfinite(array)] for array in result.carried.values() if not np.isfinite(array).all()]
        if broken:
            return Divergence(f"step {done + 1}: a weight after it", float(broken[0][0]), 0.0)
        state.carried = result.carried
        state.history.add_step(epoch=state.position.epoch, lr=lr, grad_norm=result.grad_norm, losses=result.losses)
        state.position = replace(state.position, step=state.position.step + 1)
        self.measurements.step(state.history)
        return None

    def judge(self, state: State, last: Sequence[FramePair]) -> Divergence | None:
        """Say whether the weights at the end of an epoch are good: by validation, or by the last batch once more."""
        done, epochs = len(state.history.steps), state.position.epoch + 1
        self.validate(state, epochs=epochs)
        if self.frames.validation:
            first, loss = (state.history.validations[row][1] for row in (0, -1))
            return _divergence(f"epoch {epochs}: validation loss", loss, first)
        loss = self.step.run(self.batch(last), state.carried, lr=0.0).losses["loss"]
        return self.diverged(state, f"after step {done}: loss", loss)

    def diverged(self, state: State, what: str, loss: float) -> Divergence | None:
        """Hold a loss against that of the first step."""
        return _divergence(what, loss, state.history.steps[0][3] if state.history.steps else loss)

    def validate(self, state: State, *, epochs: int) -> None:
        """Validate, and keep the weights where they are the best so far; without validation the last are the best."""
        pairs = self.frames.validation
        if not pairs:
            state.best = _weights(state.carried)
            state.position = replace(state.position, best_epoch=epochs)
            return
        self.progress(f"epoch {epochs}, validation", len(state.history.steps), self.planned)
        sums = dict.fromkeys(self.step.loss_names, 0.0)
        for first in range(0, len(pairs), self.options.batch):
            some = pairs[first : first + self.options.batch]
            losses = self.step.run(self.batch(some), state.carried, lr=0.0).losses
            sums = {name: total + losses[name] * len(some) for name, total in sums.items()}
        means = {name: total / len(pairs) for name, total in sums.items()}
        state.history.add_validation(epochs=epochs, losses=means)
        self.measurements.validation(state.history)
        if means["loss"] < state.position.best_loss:
            state.best = _weights(state.carried)
            state.position = replace(state.position, best_epoch=epochs, best_loss=means["loss"])

    def batches(self, epoch: int) -> list[list[FramePair]]:
        """Return an epoch's batches: an order of its own, from the seed and its number."""
        order = np.random.default_rng([self.options.seed, epoch]).permutation(len(self.frames.train))
        size = self.options.batch
        return [[self.frames.train[i] for i in order[at : at + size]] for at in range(0, len(order), size)]

    def over(self, position: Position) -> bool:
        """Say whether training ends here."""
        waited = position.epoch - position.best_epoch
        tired = bool(self.frames.validation) and 0 < self.options.patience <= waited
        return tired or position.epoch >= self.options.epochs

    def save(self, state: State) -> None:
        """Replace the checkpoint."""
        save_state(self.checkpoint, state, identity=self.identity)


def _divergence(what: str, loss: float, first: float) -> Divergence | None:
    """Return that a loss is not finite, or rose too far above the first; None where it is in bounds."""
    sound = math.isfinite(loss) and loss <= LARGEST_RISE * abs(first)
    return None if sound else Divergence(what, loss, first)


def _weights(carried: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(PARAMETER): array for name, array in carried.items() if name.startswith(PARAMETER)}
