"""What an optimizer does with the gradients of one step: norm, clipping, and the new parameters and state.

Formulas of torch.nn.utils.clip_grad_norm_, torch.optim.SGD (coupled weight decay, no dampening) and torch.optim.AdamW
(decoupled weight decay; Loshchilov & Hutter, arXiv 1711.05101), as PyTorch computes them by default.
"""

__all__ = ["adamw", "clipped", "epsilons", "global_norm", "sgd"]

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lossrt.recipe import Finetune, StepOptimizer

Tensors = Mapping[str, Tensor]
CLIP_EPSILON = 1e-6
# The exporter's optimizer takes an addend below 1e-8 for nothing; scaled by a power of two it is in no danger.
SMALLEST_ADDEND = 1e-5
# Past this exponent 1 − exp(x) loses less than a digit; before it, so many terms of the series leave 1e-9.
SERIES_END, SERIES_TERMS = -0.5, 9


def global_norm(gradients: Tensors) -> Tensor:
    """Return √Σg² over all gradients, []."""
    squares = [gradient.flatten(1) if gradient.ndim > 1 else gradient.unsqueeze(0) for gradient in gradients.values()]
    # Axis by axis: ONNX Runtime's sum of a whole tensor loses digits.
    return torch.stack([(values * values).sum(1).sum(0) for values in squares]).sum(0).sqrt()


def clipped(gradients: Tensors, norm: Tensor, table: Finetune) -> dict[str, Tensor]:
    """Return the gradients scaled down to the norm `clip_norm` where theirs is above; as they are where it is 0."""
    if not table.clip_norm:
        return dict(gradients)
    factor = (table.clip_norm / (norm + CLIP_EPSILON)).clamp(max=1)
    return {name: gradient * factor for name, gradient in gradients.items()}


def sgd(parameters: Tensors, gradients: Tensors, tensors: Tensors, table: Finetune) -> dict[str, Tensor]:
    """Return new parameters, then new momenta, by wire name.

    buf ← momentum·buf + (g + weight_decay·p), p ← p − lr·buf. With buf 0 this is torch.optim.SGD's first step as well.

    Args:
        parameters: Parameters by name.
        gradients: Their gradients, clipped.
        tensors: `lr` and `momentum_<name>`.
        table: Momentum and weight decay.
    """
    momenta = {}
    for name, gradient in gradients.items():
        decayed = gradient + parameters[name] * table.weight_decay if table.weight_decay else gradient
        momenta[name] = tensors[f"momentum_{name}"] * table.momentum + decayed
    new = {f"new_param_{name}": value - tensors["lr"] * momenta[name] for name, value in parameters.items()}
    return new | {f"new_momentum_{name}": value for name, value in momenta.items()}


def adamw(parameters: Tensors, gradients: Tensors, tensors: Tensors, table: Finetune) -> dict[str, Tensor]:
    """Return new parameters, then both new averages and the number of steps, by wire name.

    m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², p ← p·(1 − lr·weight_decay) − lr/c₁ · m / (√(v/c₂) + eps) with
    c = 1 − βᵗ, t the steps with this one.

    Args:
        parameters: Parameters by name.
        gradients: Their gradients, clipped.
        tensors: `lr`, `step`, `exp_avg_<name>` and `exp_avg_sq_<name>`.
        table: Betas, epsilon and weight decay.
    """
    beta1, beta2 = table.betas
    lr, step = tensors["lr"], tensors["step"] + 1
    first, second = _bias_correction(beta1, step), _bias_correction(beta2, step)
    scale = _epsilon_scale(table.eps)
    rate, spread = lr / first * scale, scale / second.sqrt()
    means, squares, new = {}, {}, {}
    for name, gradient in gradients.items():
        means[name] = tensors[f"exp_avg_{name}"] * beta1 + gradient * (1 - beta1)
        squares[name] = tensors[f"exp_avg_sq_{name}"] * beta2 + gradient * gradient * (1 - beta2)
        kept = parameters[name]
        if table.weight_decay:
            kept = kept - kept * (lr * table.weight_decay)
        new[name] = kept - means[name] * rate / (squares[name].sqrt() * spread + table.eps * scale)
    outputs = {f"new_param_{name}": value for name, value in new.items()}
    outputs |= {f"new_exp_avg_{name}": value for name, value in means.items()}
    return outputs | {f"new_exp_avg_sq_{name}": value for name, value in squares.items()} | {"new_step": step}


def epsilons(optimizer: StepOptimizer, table: Finetune) -> tuple[float, ...]:
    """Return the constants that must survive the export."""
    kept = [table.clip_norm, CLIP_EPSILON] if table.clip_norm else []
    if optimizer == "sgd":
        return (*kept, table.momentum)
    return (*kept, *table.betas, *(1 - beta for beta in table.betas), table.eps * _epsilon_scale(table.eps))


def _epsilon_scale(eps: float) -> float:
    """Return the power of two by which numerator, denominator and epsilon are scaled; 1 where epsilon is safe."""
    return float(2.0 ** max(0, math.ceil(math.log2(SMALLEST_ADDEND / eps))))


def _bias_correction(beta: float, step: Tensor) -> Tensor:
    """Return 1 − βᵗ, [], exact in float32 also at the first steps, where 1 − 0.999ᵗ keeps four digits only."""
    exponent = step * math.log(beta)
    series = exponent / SERIES_TERMS + 1
    for term in range(SERIES_TERMS - 1, 1, -1):
        series = exponent * series / term + 1
    return torch.where(exponent < SERIES_END, 1 - exponent.exp(), -exponent * series)
