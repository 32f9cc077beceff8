"""Losses and, by PyTorch's autograd, the total's gradient for every prediction."""

__all__ = ["losses_and_gradients"]

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


def losses_and_gradients(
    losses: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    tensors: Mapping[str, Tensor],
    *,
    predictions: Sequence[str],
) -> dict[str, Tensor]:
    """Return what a loss gives, and the gradient of its output `loss` for some of its inputs.

    Args:
        losses: From named tensors to named losses.
        tensors: Predictions, targets and parameters by wire name.
        predictions: Names of the inputs whose gradients are wanted, in order.

    Returns:
        The losses, then `grad_pred_<head>` in the shape and type of the prediction; none of them asks for a gradient.
    """
    with torch.enable_grad():
        leaves = {name: tensors[name].detach().requires_grad_() for name in predictions}
        results = losses({**tensors, **leaves})
        gradients = torch.autograd.grad(results["loss"], list(leaves.values()))
    outputs = {name: value.detach() for name, value in results.items()}
    return outputs | {f"grad_{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
