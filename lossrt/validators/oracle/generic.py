"""CenterTrack's total loss in float64: heads, weights and stacks from the recipe.

Source of the formula: `GenericLoss` of CenterTrack (`src/lib/trainer.py`).
"""

__all__ = ["generic_loss", "head_loss"]

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, Recipe, prediction_name
from lossrt.spec import Estimate
from lossrt.validators.oracle.fast_focal import fast_focal
from lossrt.validators.oracle.reg_weighted_l1 import reg_weighted_l1

Arrays = Mapping[str, NDArray[Any]]


def generic_loss(recipe: Recipe, arrays: Arrays) -> dict[str, Estimate]:
    """Estimate the weighted total and every head's loss.

    Args:
        recipe: Heads, weights, activation and number of stacks.
        arrays: Predictions (`pred_<head>`, `pred_<head>_stack1`, …) and targets by wire name.

    Returns:
        `loss`, the sum of weight · loss over the active heads, and `loss_<head>` for each, before its weight.
    """
    heads = {head: _over_stacks(recipe, head, arrays) for head in recipe.active_heads}
    with np.errstate(invalid="ignore", over="ignore"):
        total = Estimate(
            value=np.asarray(sum(recipe.weights[head] * part.value for head, part in heads.items())),
            scale=np.asarray(sum(recipe.weights[head] * part.scale for head, part in heads.items())),
            terms=sum(part.terms for part in heads.values()),
        )
    return {"loss": total} | {f"loss_{head}": part for head, part in heads.items()}


def head_loss(recipe: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    """Estimate the loss of one head on one prediction.

    Args:
        recipe: Says how `hm` comes.
        head: A head of the recipe.
        pred: Its prediction, [B, D, H, W].
        arrays: The targets by wire name.

    Returns:
        Scalar loss, before weight and stacks.
    """
    if HEADS[head].loss == "fast_focal":
        applied = recipe.activation.get(head, "raw") == "applied"
        return fast_focal(pred, arrays[head], arrays["ind"], arrays["mask"], arrays["cat"], applied=applied)
    return reg_weighted_l1(pred, arrays[head], arrays[f"{head}_mask"], arrays["ind"])


def _over_stacks(recipe: Recipe, head: str, arrays: Arrays) -> Estimate:
    """Average over the stacks: each stacked output contributes its loss divided by their number."""
    stacks = range(recipe.num_stacks)
    parts = [head_loss(recipe, head, arrays[prediction_name(head, stack)], arrays) for stack in stacks]
    with np.errstate(invalid="ignore", over="ignore"):
        return Estimate(
            value=np.asarray(sum(part.value / recipe.num_stacks for part in parts)),
            scale=np.asarray(sum(part.scale / recipe.num_stacks for part in parts)),
            terms=sum(part.terms for part in parts),
        )
