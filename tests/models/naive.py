"""CenterTrack's losses as loops over pixels and slots in Python floats: slow, and too plain to be wrong."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import Recipe, prediction_name

Arrays = Mapping[str, NDArray[Any]]


def probability(logit: float) -> float:
    """Sigmoid, clamped to [1e-4, 1 - 1e-4]."""
    sigmoid = 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
    return min(max(sigmoid, 1e-4), 1 - 1e-4)


def focal(recipe: Recipe, pred: NDArray[Any], arrays: Arrays) -> float:
    """The heatmap's loss: every pixel as a negative, every slot with a mask as a positive."""
    applied = recipe.activation.get("hm") == "applied"
    p = np.vectorize(float if applied else probability)(pred.astype(np.float64))
    width = pred.shape[3]
    negative = sum(
        math.log(1 - p[place]) * p[place] ** 2 * (1 - float(arrays["hm"][place])) ** 4 for place in np.ndindex(p.shape)
    )
    positive = count = 0.0
    for image, slot in np.ndindex(arrays["ind"].shape):
        y, x = divmod(int(arrays["ind"][image, slot]), width)
        q = p[image, arrays["cat"][image, slot], y, x]
        positive += math.log(q) * (1 - q) ** 2 * float(arrays["mask"][image, slot])
        count += float(arrays["mask"][image, slot])
    return -negative if count == 0 else -(positive + negative) / count


def masked_l1(pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[Any]) -> float:
    """The distance of every masked-in element, divided by their number and 1e-4."""
    total = count = 0.0
    for image, slot, channel in np.ndindex(target.shape):
        y, x = divmod(int(ind[image, slot]), pred.shape[3])
        weight = float(mask[image, slot, channel])
        total += abs(float(pred[image, channel, y, x]) * weight - float(target[image, slot, channel]) * weight)
        count += weight
    return total / (count + 1e-4)


def generic(recipe: Recipe, arrays: Arrays) -> dict[str, float]:
    """Every head's loss averaged over the stacks, and their weighted sum."""
    losses: dict[str, float] = {}
    for head, weight in recipe.weights.items():
        if weight == 0:
            continue
        parts = []
        for stack in range(recipe.num_stacks):
            pred = arrays[prediction_name(head, stack)]
            if head == "hm":
                parts.append(focal(recipe, pred, arrays))
            else:
                parts.append(masked_l1(pred, arrays[head], arrays[f"{head}_mask"], arrays["ind"]))
        losses[head] = math.fsum(parts) / recipe.num_stacks
    total = math.fsum(recipe.weights[head] * loss for head, loss in losses.items())
    return {"loss": total} | {f"loss_{head}": loss for head, loss in losses.items()}
