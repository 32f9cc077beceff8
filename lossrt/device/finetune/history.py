"""The losses so far: numbers that a checkpoint carries, and the JSON Lines that people and dashboards read."""

__all__ = ["History", "metrics_lines", "step_line", "validation_line"]

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class History:
    """What a run has measured. Grows; everything else of a run is replaced.

    Attributes:
        loss_names: `loss` and `loss_<head>`, in the order of the columns.
        steps: A row a step: epoch, learning rate, norm of the gradients, then the losses before the step.
        validations: A row a validation: epochs done, then the losses; the first row is the network as it came.
    """

    loss_names: tuple[str, ...]
    steps: list[list[float]] = field(default_factory=list)
    validations: list[list[float]] = field(default_factory=list)

    def add_step(self, *, epoch: int, lr: float, grad_norm: float, losses: dict[str, float]) -> None:
        """Note a step of epoch `epoch`, from 0."""
        self.steps.append([epoch, lr, grad_norm, *(losses[name] for name in self.loss_names)])

    def add_validation(self, *, epochs: int, losses: dict[str, float]) -> None:
        """Note a validation after `epochs` epochs."""
        self.validations.append([epochs, *(losses[name] for name in self.loss_names)])

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return both tables."""
        width = len(self.loss_names)
        return {
            "steps": np.array(self.steps, dtype=np.float64).reshape(-1, 3 + width),
            "validations": np.array(self.validations, dtype=np.float64).reshape(-1, 1 + width),
        }

    @classmethod
    def from_arrays(cls, loss_names: tuple[str, ...], arrays: dict[str, NDArray[Any]]) -> "History":
        """Return what `arrays` gave."""
        return cls(loss_names, arrays["steps"].tolist(), arrays["validations"].tolist())


def metrics_lines(history: History) -> Iterator[str]:
    """Yield the history as JSON Lines, in the order in which it came about."""
    waiting = list(history.validations)
    for number, row in enumerate(history.steps, start=1):
        while waiting and waiting[0][0] <= row[0]:
            yield validation_line(history, waiting.pop(0))
        yield step_line(history, number, row)
    for row in waiting:
        yield validation_line(history, row)


def step_line(history: History, number: int, row: Sequence[float]) -> str:
    """Return the line of step `number`, from 1: its epoch from 1, learning rate, norm of the gradients and losses."""
    epoch, lr, norm, *losses = row
    named = dict(zip(history.loss_names, losses, strict=True))
    return _line({"step": number, "epoch": int(epoch) + 1, "lr": lr, "grad_norm": norm, **named})


def validation_line(history: History, row: Sequence[float]) -> str:
    """Return the line of a validation: epochs done, and `validation_loss` and so on."""
    named = zip((f"validation_{name}" for name in history.loss_names), row[1:], strict=True)
    return _line({"epoch": int(row[0]), **dict(named)})


def _line(values: dict[str, float]) -> str:
    shown = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
    return json.dumps(shown, allow_nan=False) + "\n"
