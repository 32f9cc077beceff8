"""One training step of the heads, forward only: losses, gradients, clipping and the optimizer's update.

The gradients are autograd's, traced through our own forward form; no formula of theirs is written here.
"""

__all__ = ["HeadStep"]

import torch
from torch import Tensor, nn

from lossrt.models.generic import GenericLoss
from lossrt.models.head_step_forward import full_predictions, last_predictions
from lossrt.models.head_step_spec import parameter_dims, step_recipe
from lossrt.models.head_step_update import adamw, clipped, epsilons, global_norm, sgd
from lossrt.recipe import Finetune, Recipe, StepOptimizer, StepScope

UPDATES = {"sgd": sgd, "adamw": adamw}


class HeadStep(nn.Module):
    """The step as a function of features, parameters, state, learning rate and targets.

    Args:
        recipe: Heads, losses and weights; its table `finetune`, or the defaults of one.
        scope: `full` trains both convolutions of every head, `last` the 1x1 convolution.
        optimizer: `sgd` or `adamw`.
        dynamic: Names of the dimensions that stay open in the graph.

    Raises:
        InputError: A step cannot train this recipe.
    """

    def __init__(
        self, recipe: Recipe, scope: StepScope, optimizer: StepOptimizer, dynamic: frozenset[str] = frozenset()
    ) -> None:
        super().__init__()
        self.recipe = step_recipe(recipe)
        self.scope = scope
        self.optimizer = optimizer
        self.table = recipe.finetune or Finetune()
        # A step takes maps of any size, whatever else stays open.
        self.losses = GenericLoss(self.recipe, dynamic | {"H", "W"})

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses before the step, `grad_norm`, and all that is new, from the tensors of the graph's spec."""
        names = list(parameter_dims(self.recipe, self.scope))
        with torch.enable_grad():
            parameters = {name: tensors[f"param_{name}"].detach().requires_grad_() for name in names}
            predictions = self._predictions(parameters, tensors)
            losses: dict[str, Tensor] = self.losses({**_slots_of(tensors), **tensors, **predictions})
            gradients = dict(
                zip(names, torch.autograd.grad(losses["loss"], [parameters[name] for name in names]), strict=True)
            )
        with torch.no_grad():
            given = {name: tensors[f"param_{name}"] for name in names}
            norm = global_norm(gradients)
            new = UPDATES[self.optimizer](given, clipped(gradients, norm, self.table), tensors, self.table)
        return {**{name: loss.detach() for name, loss in losses.items()}, "grad_norm": norm, **new}

    def _predictions(self, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.scope == "last":
            return last_predictions(self.recipe, parameters, tensors)
        # AdamW divides a gradient by its own size, and so lays bare the rounding error of the small ones.
        return full_predictions(self.recipe, parameters, tensors, exact=self.optimizer == "adamw")

    def constants(self) -> tuple[float, ...]:
        """Return the epsilons, clamps, weights and coefficients that must survive the export."""
        return (*self.losses.constants(), *epsilons(self.optimizer, self.table))


def _slots_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return something of the index's shape, from which losses read the number of slots, where a step has no index."""
    return {} if "ind" in tensors else {"ind": tensors["mask"]}
