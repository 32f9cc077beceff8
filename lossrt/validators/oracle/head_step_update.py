"""Clipping, SGD with momentum and AdamW in float64, with what float32 costs.

Formulas of torch.nn.utils.clip_grad_norm_, torch.optim.SGD and torch.optim.AdamW.
"""

__all__ = ["adamw", "clipped", "global_norm", "sgd"]

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import Finetune
from lossrt.validators.oracle.rounded import UNIT, Floats, Rounded, added, exact

Arrays = Mapping[str, NDArray[Any]]
Results = dict[str, Rounded]
CLIP_EPSILON = 1e-6
# Roundings of a few operations in a row, constants included.
FEW = 4 * UNIT


def global_norm(gradients: Mapping[str, Rounded]) -> Rounded:
    """Return √Σg² over all gradients."""
    square = sum(float((part.value**2).sum()) for part in gradients.values())
    moved = sum(float((np.abs(part.value) * part.error).sum()) for part in gradients.values())
    count = sum(part.value.size for part in gradients.values())
    norm = math.sqrt(square)
    error = (moved / norm if norm else 0.0) + UNIT * math.sqrt(count) * norm
    return Rounded(np.asarray(norm), np.asarray(error))


def clipped(gradients: Mapping[str, Rounded], norm: Rounded, table: Finetune) -> Results:
    """Return the gradients scaled down to `clip_norm`, where that is not 0 and their norm is above."""
    if not table.clip_norm or float(norm.value + norm.error) + CLIP_EPSILON <= table.clip_norm:
        return dict(gradients)
    total = float(norm.value) + CLIP_EPSILON
    factor = min(1.0, table.clip_norm / total)
    return {name: part.scaled(factor, error=float(norm.error) / total + FEW) for name, part in gradients.items()}


def sgd(gradients: Mapping[str, Rounded], arrays: Arrays, table: Finetune) -> Results:
    """Return new parameters and momenta by wire name: buf = momentum·buf + g + weight_decay·p, p = p − lr·buf."""
    rate = float(arrays["lr"])
    results: Results = {}
    for name, gradient in gradients.items():
        parameter = exact(arrays[f"param_{name}"])
        momentum = exact(arrays[f"momentum_{name}"]).scaled(table.momentum)
        momentum = added(momentum, gradient, parameter.scaled(table.weight_decay))
        results[f"new_momentum_{name}"] = momentum
        results[f"new_param_{name}"] = added(parameter, momentum.scaled(-rate))
    return results


def adamw(gradients: Mapping[str, Rounded], arrays: Arrays, table: Finetune) -> Results:
    """Return new parameters, both averages and the number of steps by wire name.

    m = β₁m + (1−β₁)g, v = β₂v + (1−β₂)g², p = p − lr·weight_decay·p − lr/c₁·m/(√(v/c₂) + eps), c = 1 − βᵗ.
    """
    rate, step = float(arrays["lr"]), float(arrays["step"]) + 1
    results: Results = {"new_step": exact(np.asarray(step))}
    for name, gradient in gradients.items():
        parameter = exact(arrays[f"param_{name}"])
        mean, square = _averages(gradient, arrays, name, table)
        change = _change(gradient, square, arrays, name, table)
        kept = parameter.scaled(-rate * table.weight_decay)
        results[f"new_param_{name}"] = added(parameter, kept, change.scaled(-rate / (1 - table.betas[0] ** step)))
        results[f"new_exp_avg_{name}"] = mean
        results[f"new_exp_avg_sq_{name}"] = square
    return results


def _averages(gradient: Rounded, arrays: Arrays, name: str, table: Finetune) -> tuple[Rounded, Rounded]:
    (beta1, beta2), value = table.betas, gradient.value
    mean = added(exact(arrays[f"exp_avg_{name}"]).scaled(beta1), gradient.scaled(1 - beta1, error=FEW))
    squared = Rounded(value**2, 2 * np.abs(value) * gradient.error + gradient.error**2 + FEW * value**2)
    return mean, added(exact(arrays[f"exp_avg_sq_{name}"]).scaled(beta2), squared.scaled(1 - beta2, error=FEW))


def _change(gradient: Rounded, square: Rounded, arrays: Arrays, name: str, table: Finetune) -> Rounded:
    """Return m/(√(v/c₂) + eps). A gradient near 0 turns it around, so its error is tried out at both ends."""
    beta1, beta2 = table.betas
    correction = 1 - beta2 ** (float(arrays["step"]) + 1)
    old_mean, old_square = (arrays[f"{kind}_{name}"].astype(np.float64) for kind in ("exp_avg", "exp_avg_sq"))

    def change(slope: Floats) -> Floats:
        spread = np.sqrt((beta2 * old_square + (1 - beta2) * slope**2) / correction) + table.eps
        return np.asarray((beta1 * old_mean + (1 - beta1) * slope) / spread)

    value = change(gradient.value)
    ends = [np.abs(change(gradient.value + sign * gradient.error) - value) for sign in (-1, 1)]
    own = FEW * (np.abs(beta1 * old_mean) + np.abs((1 - beta1) * gradient.value))
    spread = np.sqrt(square.value / correction) + table.eps
    return Rounded(value, np.maximum(*ends) + own / spread + 2 * FEW * np.abs(value))
