"""The total loss and its gradient for every prediction: graph `generic_loss_grad`.

The gradients are autograd's; nothing here is derived by hand. The export turns them into a forward pass.
"""

__all__ = ["GenericLossGrad", "gradient_spec"]

import torch
from torch import Tensor, nn

from lossrt.models import generic
from lossrt.recipe import Recipe
from lossrt.spec import GraphSpec, OutputSpec

NAME = "generic_loss_grad"


class GenericLossGrad(nn.Module):
    """Everything that `GenericLoss` gives, and the gradient of `loss` for every prediction.

    Args:
        recipe: Heads, weights, activation, sizes and number of stacks.
        dynamic: Names of the dimensions that stay open in the graph.
    """

    def __init__(self, recipe: Recipe, dynamic: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.loss = generic.GenericLoss(recipe, dynamic)
        self.predictions = [spec.name for spec in generic.spec(recipe).inputs if spec.role == "prediction"]

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses, then `grad_pred_<head>`, in the shape and type of the prediction."""
        with torch.enable_grad():
            leaves = {name: tensors[name].detach().requires_grad_() for name in self.predictions}
            losses = self.loss({**tensors, **leaves})
            gradients = torch.autograd.grad(losses["loss"], list(leaves.values()))
        named = {f"grad_{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
        return {name: value.detach() for name, value in losses.items()} | named


def gradient_spec(recipe: Recipe) -> GraphSpec:
    """Return the signature of graph `generic_loss_grad`: the inputs of `generic_loss`, and a gradient a prediction."""
    loss = generic.spec(recipe)
    gradients = (OutputSpec(f"grad_{spec.name}", spec.dims) for spec in loss.inputs if spec.role == "prediction")
    return GraphSpec(NAME, loss.inputs, (*loss.outputs, *gradients), loss.sizes)
