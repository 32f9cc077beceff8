"""The reference losses under the graphs' wire names, so that cases and benches can call them like any graph."""

__all__ = ["REFERENCES", "Reference"]

from collections.abc import Callable, Mapping

from torch import Tensor

from lossrt.models.reference.fast_focal import FastFocalLoss, activate
from lossrt.models.reference.generic import GenericLoss
from lossrt.models.reference.reg_weighted_l1 import RegWeightedL1Loss
from lossrt.recipe import Recipe, prediction_name

Reference = Callable[[Recipe, Mapping[str, Tensor]], dict[str, Tensor]]


def _gather_feat(recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    del recipe
    feat, ind = tensors["feat"], tensors["ind"]
    pixels = feat.permute(0, 2, 3, 1).reshape(feat.shape[0], -1, feat.shape[1])
    return {"gathered": pixels.gather(1, ind[:, :, None].expand(-1, -1, feat.shape[1]))}


def _fast_focal(recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    p = tensors["pred_hm"] if recipe.activation.get("hm") == "applied" else activate(tensors["pred_hm"])
    return {"loss": FastFocalLoss()(p, tensors["hm"], tensors["ind"], tensors["mask"], tensors["cat"])}


def _reg_weighted_l1(recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    del recipe
    return {
        "loss": RegWeightedL1Loss()(tensors["pred_reg"], tensors["reg_mask"], tensors["ind"], tensors["reg"]),
    }


def _generic_loss(recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    outputs = [
        {head: tensors[prediction_name(head, stack)] for head in recipe.active_heads}
        for stack in range(recipe.num_stacks)
    ]
    total, losses = GenericLoss(recipe)(outputs, tensors)
    return {"loss": total} | {f"loss_{head}": loss for head, loss in losses.items()}


REFERENCES: dict[str, Reference] = {
    "gather_feat": _gather_feat,
    "fast_focal": _fast_focal,
    "reg_weighted_l1": _reg_weighted_l1,
    "generic_loss": _generic_loss,
}
