"""What a run of fine-tuning is asked to do, and the learning rate at each of its steps."""

__all__ = ["SCHEDULES", "FinetuneOptions", "learning_rate"]

import math
from dataclasses import dataclass

import numpy as np

from lossrt.errors import InputError, nearest

SCOPES = ("full", "last")
OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "cosine", "step")
FLOAT32 = np.finfo(np.float32)
_DROP_AT, _DROP_TO = 6 / 7, 0.1  # CenterTrack `opts.py`: lr_step 60 of num_epochs 70


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """How to train.

    Attributes:
        scope: `full` (both convolutions of each head) or `last` (the 1x1 ones).
        optimizer: `sgd` or `adamw`, with the momentum, decay and clipping that the bundle's recipe gave them.
        epochs: Passes over the training frames.
        batch: Frames a step.
        validation: Part of the frames of each sequence that is kept for validation; 0 for none.
        patience: Epochs without a better validation loss after which to stop; 0 never stops early.
        lr: Learning rate at the first step.
        schedule: `constant`, `cosine` (down to 0), or `step` (a tenth for the last seventh, as CenterTrack).
        seed: Seed of the frames' order.
        checkpoint_steps: Steps between checkpoints; the end of each epoch has one of its own.

    Raises:
        InputError: A value is out of its range.
    """

    scope: str = "full"
    optimizer: str = "sgd"
    epochs: int = 10
    batch: int = 4
    validation: float = 0.2
    patience: int = 5
    lr: float = 1e-3
    schedule: str = "constant"
    seed: int = 0
    checkpoint_steps: int = 100

    def __post_init__(self) -> None:
        for flag, known in (("scope", SCOPES), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            value = getattr(self, flag)
            if value not in known:
                raise InputError(f"--{flag} '{value}': unknown; {nearest(value, known)}")
        for flag, least in (("epochs", 1), ("batch", 1), ("patience", 0), ("seed", 0), ("checkpoint_steps", 1)):
            if getattr(self, flag) < least:
                raise InputError(f"--{flag.replace('_', '-')}: expected at least {least}, got {getattr(self, flag)}")
        if not 0 <= self.validation < 1:
            raise InputError(f"--validation: expected a fraction in [0, 1), got {self.validation}")
        if not float(FLOAT32.tiny) <= self.lr <= float(FLOAT32.max):  # NaN as well
            raise InputError(f"--lr: expected a learning rate that float32 holds, > 0, got {self.lr}")

    @property
    def graph(self) -> str:
        """Name of the step's graph in the bundle."""
        return f"head_step_{self.scope}_{self.optimizer}"


def learning_rate(options: FinetuneOptions, done: int, total: int) -> float:
    """Return the learning rate of the next step.

    Args:
        options: First learning rate and schedule.
        done: Steps done so far, < total.
        total: Steps of the whole run, early stopping aside.
    """
    if options.schedule == "cosine":  # Loshchilov and Hutter, arXiv 1608.03983, without restarts
        return options.lr * (1 + math.cos(math.pi * done / total)) / 2
    if options.schedule == "step" and done >= _DROP_AT * total:
        return options.lr * _DROP_TO
    return options.lr
