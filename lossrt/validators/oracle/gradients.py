"""Gradients of the total losses for every prediction, in float64 and in closed form: the oracle of `generic_loss_grad`.

Independent of PyTorch and of the exported graphs. Slots that share a pixel are added up one by one.
"""

__all__ = ["HEAD_GRADIENTS", "generic_loss_grad", "loss_gradients"]

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, LossKind, Recipe, prediction_name
from lossrt.spec import Estimate
from lossrt.validators.oracle.generic import generic_loss
from lossrt.validators.oracle.gradients_classes import bin_rot_gradient, identity_gradient
from lossrt.validators.oracle.gradients_heatmap import fast_focal_gradient, focal_gradient
from lossrt.validators.oracle.gradients_slots import Distance, distance_gradient, entropy_gradient
from lossrt.validators.oracle.heads import Arrays
from lossrt.validators.oracle.slots import EPSILON

HeadGradient = Callable[[Recipe, str, NDArray[Any], Arrays], Estimate]


def loss_gradients(recipe: Recipe, arrays: Arrays) -> dict[str, Estimate]:
    """Estimate the gradient of the total loss for every prediction.

    Args:
        recipe: Heads, losses, weights, activation, family and number of stacks.
        arrays: Predictions, targets and parameters by wire name, in any deployed float type.

    Returns:
        `grad_pred_<head>` and `grad_pred_<head>_stack1`, …, in the order of the predictions: the shape of the
        prediction, in units of the loss over those of the prediction.
    """
    gradients = {}
    for stack in range(recipe.num_stacks):
        for head in recipe.active_heads:
            name = prediction_name(head, stack)
            part = HEAD_GRADIENTS[recipe.loss_kind(head)](recipe, head, arrays[name], arrays)
            gradients[f"grad_{name}"] = _scaled(part, *_factor(recipe, head, arrays))
    return gradients


def generic_loss_grad(recipe: Recipe, arrays: Arrays) -> dict[str, Estimate]:
    """Estimate the outputs of graph `generic_loss_grad`: those of `generic_loss`, then the gradients."""
    return generic_loss(recipe, arrays) | loss_gradients(recipe, arrays)


def _factor(recipe: Recipe, head: str, arrays: Arrays) -> tuple[float, float]:
    """Return the derivative of the total for one stack's loss of a head, and what its rounding is measured by."""
    weight = recipe.weights[head] / recipe.num_stacks
    if recipe.family != "fairmot":
        return weight, abs(weight)
    s = float(np.asarray(arrays["s_id" if head == "id" else "s_det"], dtype=np.float64))
    joint = 0.5 * math.exp(-s) * weight
    # A factor e^−s: its relative error grows with |s|.
    return joint, abs(joint) * (1 + abs(s))


def _scaled(part: Estimate, factor: float, size: float) -> Estimate:
    return Estimate(value=part.value * factor, scale=part.scale * size, terms=part.terms)


def _fast_focal(recipe: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    mask, cat = ("hm_hp_mask", "joint") if head == "hm_hp" else ("mask", "cat")
    slots = arrays[HEADS[head].index], arrays[mask], arrays[cat]
    return fast_focal_gradient(pred, arrays[head], *slots, applied=recipe.is_applied(head))


def _focal(recipe: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    return focal_gradient(pred, arrays[head], applied=recipe.is_applied(head))


def _regression(
    divisor: Callable[[NDArray[Any], int], float], *, distance: Distance = "absolute", own_mask: bool = False
) -> HeadGradient:
    """Return the gradient of a loss on gathered values; `divisor` takes the mask and the number of channels."""

    def compute(recipe: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
        mask = arrays[f"{head}_mask" if own_mask else "mask"]
        return distance_gradient(
            pred,
            arrays[head],
            mask,
            arrays[HEADS[head].index],
            divisor=divisor(mask, pred.shape[1]),
            distance=distance,
            raw_depth=head == "dep" and not recipe.is_applied(head),
            weights=np.asarray(recipe.code_weights) if recipe.loss_kind(head) == "code_weighted_l1" else None,
        )

    return compute


def _count(mask: NDArray[Any], channels: int) -> float:
    del channels
    return float(mask.astype(np.float64).sum()) + EPSILON


def _elements(mask: NDArray[Any], channels: int) -> float:
    return float(mask.astype(np.float64).sum()) * channels + EPSILON


def _bin_rot(_: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    slots = arrays[f"{head}_mask"], arrays[HEADS[head].index]
    return bin_rot_gradient(pred, *slots, arrays["rotbin"], arrays["rotres"])


def _weighted_bce(_: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    return entropy_gradient(pred, arrays[head], arrays[f"{head}_mask"], arrays[HEADS[head].index])


def _identity(_: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    slots = arrays["mask"], arrays[HEADS[head].index], arrays["ids"]
    return identity_gradient(pred, *slots, arrays["id_weight"], arrays["id_bias"])


HEAD_GRADIENTS: dict[LossKind, HeadGradient] = {
    "fast_focal": _fast_focal,
    "reg_weighted_l1": _regression(_count, own_mask=True),
    "bin_rot": _bin_rot,
    "weighted_bce": _weighted_bce,
    "focal": _focal,
    "reg_l1": _regression(_elements),
    "norm_reg_l1": _regression(_elements, distance="relative"),
    "l1": _regression(lambda mask, channels: float(mask.size * channels)),
    "smooth_l1": _regression(_count, distance="smooth"),
    "identity": _identity,
    "code_weighted_l1": _regression(_count),
}
"""By loss kind: recipe, head, prediction and arrays in; the gradient of that head's loss on that prediction out."""
