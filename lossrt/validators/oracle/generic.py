"""The total losses of CenterTrack and its relatives in float64: heads, weights and stacks from the recipe.

Source of the formulas: `GenericLoss` of CenterTrack (`src/lib/trainer.py`), `CtdetLoss` of CenterNet
(`src/lib/trains/ctdet.py`), `MotLoss` of FairMOT (`src/lib/trains/mot.py`) and `CenterHead.loss` of CenterPoint
(`det3d/models/bbox_heads/center_head.py`).
"""

__all__ = ["generic_loss"]

import numpy as np

from lossrt.recipe import Recipe, prediction_name
from lossrt.spec import Estimate
from lossrt.validators.oracle.heads import Arrays, channel_losses, head_loss
from lossrt.validators.oracle.sums import weighted_sum


def generic_loss(recipe: Recipe, arrays: Arrays) -> dict[str, Estimate]:
    """Estimate the total and every head's loss.

    The total is the sum of weight · loss over the active heads; of the family `fairmot` it is
    (e^−s_det · Σ weight · loss of the other heads + e^−s_id · weight · loss of `id` + s_det + s_id) / 2.

    Args:
        recipe: Heads, losses, weights, activation, family and number of stacks.
        arrays: Predictions (`pred_<head>`, `pred_<head>_stack1`, …), targets and parameters by wire name.

    Returns:
        `loss`, `loss_<head>` for each active head, averaged over the stacks, before its weight, and
        `loss_<head>_dims`, [D], for a head with code weights.
    """
    heads = {head: _averaged(recipe, head, arrays) for head in recipe.active_heads}
    if "hp_offset" in heads and "hm_hp" not in heads:
        # Upstream looks for hp_offset only where there is hm_hp.
        heads["hp_offset"] = Estimate(value=np.zeros(()), scale=np.zeros(()), terms=1)
    weighted = {head: (recipe.weights[head], part) for head, part in heads.items()}
    total = _joint(weighted, arrays) if recipe.family == "fairmot" else weighted_sum(weighted.values())
    vectors = {f"loss_{head}_dims": _averaged_channels(recipe, head, arrays) for head in _coded_heads(recipe)}
    return {"loss": total} | {f"loss_{head}": part for head, part in heads.items()} | vectors


def _coded_heads(recipe: Recipe) -> list[str]:
    return [head for head in recipe.active_heads if recipe.loss_kind(head) == "code_weighted_l1"]


def _averaged(recipe: Recipe, head: str, arrays: Arrays) -> Estimate:
    """Average over the stacks: each stacked output contributes its loss divided by their number."""
    preds = [arrays[prediction_name(head, stack)] for stack in range(recipe.num_stacks)]
    return weighted_sum((1 / recipe.num_stacks, head_loss(recipe, head, pred, arrays)) for pred in preds)


def _averaged_channels(recipe: Recipe, head: str, arrays: Arrays) -> Estimate:
    preds = [arrays[prediction_name(head, stack)] for stack in range(recipe.num_stacks)]
    return weighted_sum((1 / recipe.num_stacks, channel_losses(head, pred, arrays)) for pred in preds)


def _joint(weighted: dict[str, tuple[float, Estimate]], arrays: Arrays) -> Estimate:
    """Weigh detection against identity by their learned log-variances, each of which pays for its own size."""
    s_det, s_id = _parameter(arrays, "s_det"), _parameter(arrays, "s_id")
    detection = [part for head, part in weighted.items() if head != "id"]
    known = [part for head, part in weighted.items() if head == "id"]
    sides = ((s_det, detection), (s_id, known))
    with np.errstate(over="ignore"):
        parts = [(0.5 * float(np.exp(-s)), _with_rounded_weight(weighted_sum(part), s)) for s, part in sides if part]
    own = [(0.5, Estimate(value=np.asarray(s), scale=np.asarray(abs(s)), terms=1)) for s in (s_det, s_id)]
    return weighted_sum(parts + own)


def _parameter(arrays: Arrays, name: str) -> float:
    return float(np.asarray(arrays[name], dtype=np.float64))


def _with_rounded_weight(part: Estimate, s: float) -> Estimate:
    """Count a factor e^−s as well: its relative error grows with |s|."""
    return Estimate(value=part.value, scale=np.asarray(part.scale * (1 + abs(s))), terms=part.terms)
