"""One head's loss under wire names, whichever loss the recipe trains it with, and all heads' over the stacks."""

__all__ = ["CRITERIA", "Batch", "Criterion", "activated", "channel_losses", "head_losses"]

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from lossrt.models.reference.bin_rot import BinRotLoss
from lossrt.models.reference.code_weighted_l1 import ChannelRegLoss
from lossrt.models.reference.depth import depth_from_logits
from lossrt.models.reference.fast_focal import FastFocalLoss, activate
from lossrt.models.reference.focal import FocalLoss
from lossrt.models.reference.identity import IdentityLoss
from lossrt.models.reference.l1 import L1Loss
from lossrt.models.reference.norm_reg_l1 import NormRegL1Loss
from lossrt.models.reference.reg_l1 import RegL1Loss
from lossrt.models.reference.reg_weighted_l1 import RegWeightedL1Loss
from lossrt.models.reference.smooth_l1 import RegLoss
from lossrt.models.reference.weighted_bce import WeightedBCELoss
from lossrt.recipe import HEADS, LossKind, Recipe

Batch = Mapping[str, Tensor]
Criterion = Callable[[Recipe, str, Tensor, Batch], Tensor]


def head_losses(
    recipe: Recipe, outputs: Sequence[Batch], batch: Batch, *, criteria: Mapping[LossKind, Criterion]
) -> dict[str, Tensor]:
    """Return every active head's loss, averaged over the stacks, before its weight.

    Args:
        recipe: Heads, their losses, activation and number of stacks.
        outputs: One mapping a stack, head → [B, D, H, W].
        batch: Targets and parameters by wire name.
        criteria: How each loss is computed.

    Returns:
        Scalars by head, in the recipe's order; then `<head>_dims`, [D], for a head with code weights.
    """
    losses, vectors = {}, {}
    for head in recipe.active_heads:
        criterion = criteria[recipe.loss_kind(head)]
        stacks = [activated(recipe, head, output[head]) for output in outputs]
        losses[head] = _averaged(recipe, [criterion(recipe, head, output, batch) for output in stacks])
        if recipe.loss_kind(head) == "code_weighted_l1":
            vectors[f"{head}_dims"] = _averaged(recipe, [channel_losses(head, output, batch) for output in stacks])
    return losses | vectors


def activated(recipe: Recipe, head: str, output: Tensor) -> Tensor:
    """Return what upstream computes the loss on: hm, hm_hp and dep activated, unless the network has done so."""
    if recipe.is_applied(head) or not HEADS[head].activated:
        return output
    return depth_from_logits(output) if head == "dep" else activate(output)


def channel_losses(head: str, output: Tensor, batch: Batch) -> Tensor:
    """Return the loss of each channel of a head trained with code weights, [D]."""
    loss: Tensor = ChannelRegLoss()(output, batch["mask"], batch[HEADS[head].index], batch[head])
    return loss


def _averaged(recipe: Recipe, losses: Sequence[Tensor]) -> Tensor:
    total = torch.zeros_like(losses[0])
    for loss in losses:
        total = total + loss / recipe.num_stacks
    return total


def _fast_focal(_: Recipe, head: str, output: Tensor, batch: Batch) -> Tensor:
    mask, cat = ("hm_hp_mask", "joint") if head == "hm_hp" else ("mask", "cat")
    loss: Tensor = FastFocalLoss()(output, batch[head], batch[HEADS[head].index], batch[mask], batch[cat])
    return loss


def _focal(_: Recipe, head: str, output: Tensor, batch: Batch) -> Tensor:
    loss: Tensor = FocalLoss()(output, batch[head])
    return loss


def _regression(module: nn.Module, *, own_mask: bool = False) -> Criterion:
    """Return a loss of (output, mask, ind, target), with the head's own mask or with the objects'."""

    def compute(_: Recipe, head: str, output: Tensor, batch: Batch) -> Tensor:
        mask = batch[f"{head}_mask" if own_mask else "mask"]
        loss: Tensor = module(output, mask, batch[HEADS[head].index], batch[head])
        return loss

    return compute


def _bin_rot(_: Recipe, head: str, output: Tensor, batch: Batch) -> Tensor:
    index = batch[HEADS[head].index]
    loss: Tensor = BinRotLoss()(output, batch[f"{head}_mask"], index, batch["rotbin"], batch["rotres"])
    return loss


def _identity(_: Recipe, head: str, output: Tensor, batch: Batch) -> Tensor:
    slots = batch["mask"], batch[HEADS[head].index], batch["ids"]
    loss: Tensor = IdentityLoss()(output, *slots, batch["id_weight"], batch["id_bias"])
    return loss


def _code_weighted_l1(recipe: Recipe, head: str, output: Tensor, batch: Batch) -> Tensor:
    box_loss = channel_losses(head, output, batch)
    return (box_loss * box_loss.new_tensor(recipe.code_weights)).sum()


CRITERIA: dict[LossKind, Criterion] = {
    "fast_focal": _fast_focal,
    "reg_weighted_l1": _regression(RegWeightedL1Loss(), own_mask=True),
    "bin_rot": _bin_rot,
    "weighted_bce": _regression(WeightedBCELoss(), own_mask=True),
    "focal": _focal,
    "reg_l1": _regression(RegL1Loss()),
    "norm_reg_l1": _regression(NormRegL1Loss()),
    "l1": _regression(L1Loss()),
    "smooth_l1": _regression(RegLoss()),
    "identity": _identity,
    "code_weighted_l1": _code_weighted_l1,
}
"""By loss kind: recipe, head, its activated output and the batch in, a scalar loss out."""
