"""The training loop: steps, validation, early stopping, checkpoints. The same state always goes on to the same result."""

__all__ = ["Divergence", "Trainer"]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.device.finetune.checkpoint import Position, State, save_state
from lossrt.device.finetune.history import History, step_line, validation_line
from lossrt.device.finetune.metrics_file import MetricsFile
from lossrt.device.finetune.options import FinetuneOptions, learning_rate
from lossrt.device.finetune.partition import Partition
from lossrt.device.finetune.step_graph import PARAMETER, StepGraph, StepResult
from lossrt.targets.annotations import FramePair

Batch = Callable[[Sequence[FramePair]], dict[str, NDArray[Any]]]
Progress = Callable[[str, int, int], None]
LARGEST_RISE = 10


@dataclass(frozen=True, slots=True)
class Divergence:
    """Why training stopped.

    Attributes:
        step: Number of the step, from 1.
        loss: Its loss, before the step.
        first: Loss of the first step.
    """

    step: int
    loss: float
    first: float

    def __str__(self) -> str:
        what = (
            "is not finite" if not math.isfinite(self.loss) else f"is more than {LARGEST_RISE} times the first step's"
        )
        return f"step {self.step}: loss {self.loss:g} {what} ({self.first:g}): training diverged"


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
        metrics: Takes a line after each step and each validation.
    """

    step: StepGraph
    batch: Batch
    frames: Partition
    options: FinetuneOptions
    checkpoint: Path
    identity: Mapping[str, Any]
    progress: Progress
    metrics: MetricsFile

    @property
    def steps_an_epoch(self) -> int:
        """Steps of an epoch; the last one may have fewer frames."""
        return math.ceil(len(self.frames.train) / self.options.batch)

    def start(self, parameters: Mapping[str, NDArray[Any]]) -> State:
        """Return the state before the first step, with the network as it came validated."""
        carried = self.step.start(parameters)
        state = self.validated(State(Position(), carried, _weights(carried), History(self.step.loss_names)), epochs=0)
        self.save(state)
        return state

    def run(self, state: State) -> Divergence | None:
        """Train until the epochs are over, nothing gets better, or training diverges.

        Args:
            state: Where to begin; changed, and saved on the way.

        Raises:
            StorageError: A checkpoint cannot be written; the one before is whole.
        """
        while not state.position.done:
            epoch = state.position.epoch
            for pairs in self.batches(epoch)[state.position.step :]:
                if divergence := self.advance(state, pairs):
                    return divergence
            self.validated(state, epochs=epoch + 1)
            position = replace(state.position, epoch=epoch + 1, step=0)
            state.position = replace(position, done=self.over(position))
            self.save(state)
        return None

    def advance(self, state: State, pairs: Sequence[FramePair]) -> Divergence | None:
        """Do one step, note it, and save where it is due."""
        done = len(state.history.steps)
        total = self.options.epochs * self.steps_an_epoch
        self.progress(f"epoch {state.position.epoch + 1}, step {done + 1}", done, total)
        lr = learning_rate(self.options, done, total)
        result = self.step.run(self.batch(pairs), state.carried, lr=lr)
        loss = result.losses["loss"]
        first = state.history.steps[0][3] if done else loss
        if not _sound(result) or loss > LARGEST_RISE * abs(first):
            return Divergence(done + 1, loss, first)
        state.carried = result.carried
        state.history.add_step(epoch=state.position.epoch, lr=lr, grad_norm=result.grad_norm, losses=result.losses)
        state.position = replace(state.position, step=state.position.step + 1)
        self.metrics.append(step_line(state.history, done + 1, state.history.steps[-1]))
        if (done + 1) % self.options.checkpoint_steps == 0:
            self.save(state)
        return None

    def validated(self, state: State, *, epochs: int) -> State:
        """Validate, and keep the weights where they are the best so far; without validation the last are the best."""
        pairs = self.frames.validation
        if not pairs:
            state.best = _weights(state.carried)
            state.position = replace(state.position, best_epoch=epochs)
            return state
        self.progress(
            f"epoch {epochs}, validation", len(state.history.steps), self.options.epochs * self.steps_an_epoch
        )
        sums = dict.fromkeys(self.step.loss_names, 0.0)
        for first in range(0, len(pairs), self.options.batch):
            some = pairs[first : first + self.options.batch]
            losses = self.step.run(self.batch(some), state.carried, lr=0.0).losses
            sums = {name: total + losses[name] * len(some) for name, total in sums.items()}
        means = {name: total / len(pairs) for name, total in sums.items()}
        state.history.add_validation(epochs=epochs, losses=means)
        self.metrics.append(validation_line(state.history, state.history.validations[-1]))
        if means["loss"] < state.position.best_loss:
            state.best = _weights(state.carried)
            state.position = replace(state.position, best_epoch=epochs, best_loss=means["loss"])
        return state

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


def _sound(result: StepResult) -> bool:
    """Say whether a step may be kept: its loss and all that the next step takes are finite."""
    return math.isfinite(result.losses["loss"]) and all(np.isfinite(a).all() for a in result.carried.values())


def _weights(carried: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(PARAMETER): array for name, array in carried.items() if name.startswith(PARAMETER)}
