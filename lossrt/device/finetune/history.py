"""The losses so far: numbers that a checkpoint carries."""

__all__ = ["History"]

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
