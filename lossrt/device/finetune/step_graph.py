"""The training step as a graph: which arrays it takes and carries from one step to the next.

Names on the wire: `param_<name>` in and `new_param_<name>` out, likewise for the optimizer's state; `lr` in; `loss`,
`loss_<head>` and `grad_norm` out, all before the step.
"""

__all__ = ["StepGraph", "StepResult", "open_step", "require_graph"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.bundle import Bundle
from lossrt.device.backend import Backend
from lossrt.device.finetune.missing_step import missing_step
from lossrt.device.finetune.options import FinetuneOptions
from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.runtime.session import Session
from lossrt.spec import GraphSpec

Arrays = dict[str, NDArray[Any]]
PARAMETER = "param_"
NEW = "new_"


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step gave.

    Attributes:
        losses: `loss` and `loss_<head>` before the step, by name.
        grad_norm: Norm of all gradients together, before clipping; NaN where the graph does not give it.
        carried: Parameters and optimizer state after the step, by the names of the inputs that take them.
    """

    losses: dict[str, float]
    grad_norm: float
    carried: Arrays


@dataclass(frozen=True, slots=True)
class StepGraph:
    """A step's graph, loaded.

    Attributes:
        session: The loaded graph.
        spec: Its signature.
    """

    session: Session
    spec: GraphSpec

    @property
    def carried_names(self) -> tuple[str, ...]:
        """Inputs that the next step takes from this one's outputs."""
        outputs = {output.name for output in self.spec.outputs}
        return tuple(tensor.name for tensor in self.spec.inputs if NEW + tensor.name in outputs)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Parameters without their prefix, such as `hm_0_weight`."""
        return tuple(name.removeprefix(PARAMETER) for name in self.carried_names if name.startswith(PARAMETER))

    @property
    def loss_names(self) -> tuple[str, ...]:
        """`loss` and `loss_<head>`, in the order of the graph."""
        names = (output.name for output in self.spec.outputs)
        return tuple(name for name in names if name == "loss" or name.startswith("loss_"))

    def start(self, parameters: Mapping[str, NDArray[Any]]) -> Arrays:
        """Return what the first step takes: the parameters, and an optimizer that has seen nothing.

        Args:
            parameters: Values by name without prefix.
        """
        carried = {}
        for name in self.carried_names:
            if name.startswith(PARAMETER):
                carried[name] = parameters[name.removeprefix(PARAMETER)].astype(np.float32)
            else:
                of = next((own for own in self.parameter_names if name.endswith(f"_{own}")), None)
                carried[name] = np.zeros(parameters[of].shape if of else (), dtype=np.float32)
        return carried

    def run(self, arrays: Mapping[str, NDArray[Any]], carried: Mapping[str, NDArray[Any]], *, lr: float) -> StepResult:
        """Do one step; with a learning rate of 0, only its losses mean something.

        Args:
            arrays: Features and targets of a batch.
            carried: Parameters and optimizer state.
            lr: Learning rate.
        """
        got = self.session.run({**arrays, **carried, "lr": np.array(lr, dtype=np.float32)})
        return StepResult(
            losses={name: float(got[name]) for name in self.loss_names},
            grad_norm=float(got.get("grad_norm", np.float32(np.nan))),
            carried={name: got[NEW + name] for name in self.carried_names},
        )


def require_graph(bundle: Bundle, options: FinetuneOptions) -> Recipe:
    """Return the recipe of a bundle that has the step's graph.

    Raises:
        InputError: It lacks the graph, or was made from a module of a user's own.
    """
    recipe, graph = bundle.manifest.recipe, options.graph
    if recipe is None:
        raise InputError(
            f"bundle '{bundle.source}': expected one that was exported from a recipe, got a loss of your own; fine-tuning needs a recipe's heads"
        )
    if graph not in bundle.manifest.graphs:
        raise InputError(missing_step(bundle, recipe, options))
    return recipe


def open_step(bundle: Bundle, options: FinetuneOptions, *, backend: Backend) -> StepGraph:
    """Load the step's graph.

    Raises:
        InputError: The bundle lacks it.
        BackendError: The backend is missing or fails.
    """
    require_graph(bundle, options)
    session = backend.open(bundle.graph_path(options.graph, "fp32"), bundle)
    return StepGraph(session, bundle.entry(options.graph).spec)
