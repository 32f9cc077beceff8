"""The reference losses under the graphs' wire names, so that cases and benches can call them like any graph."""

__all__ = ["REFERENCES", "Reference"]

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from lossrt.errors import InputError
from lossrt.models.reference.autograd import losses_and_gradients
from lossrt.models.reference.center_head import CenterHeadLoss
from lossrt.models.reference.ctdet import CtdetLoss
from lossrt.models.reference.gather import transpose_and_gather_feat
from lossrt.models.reference.generic import GenericLoss
from lossrt.models.reference.heads import CRITERIA, activated, channel_losses
from lossrt.models.reference.mot import MotLoss
from lossrt.recipe import Family, LossKind, Recipe, prediction_name

Reference = Callable[[Recipe, Mapping[str, Tensor]], dict[str, Tensor]]

TOTALS: dict[Family, Callable[[Recipe], nn.Module]] = {
    "centertrack": GenericLoss,
    "centernet": CtdetLoss,
    "fairmot": MotLoss,
    "centerpoint": CenterHeadLoss,
}


def _gather_feat(recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    del recipe
    return {"gathered": transpose_and_gather_feat(tensors["feat"], tensors["ind"])}


def _single(kind: LossKind) -> Reference:
    """Return the reference of the graph that holds one loss, on the first stack of the recipe's head for it."""

    def compute(recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        head = _subject(recipe, kind)
        output = activated(recipe, head, tensors[prediction_name(head)])
        losses = {"loss": CRITERIA[kind](recipe, head, output, tensors)}
        if kind == "code_weighted_l1":
            losses["loss_dims"] = channel_losses(head, output, tensors)
        return losses

    return compute


def _subject(recipe: Recipe, kind: LossKind) -> str:
    heads = [head for head in recipe.active_heads if recipe.loss_kind(head) == kind]
    if kind == "reg_weighted_l1" and "reg" in heads:
        return "reg"
    if heads:
        return heads[0]
    known = sorted({recipe.loss_kind(head) for head in recipe.active_heads})
    raise InputError(f"graph '{kind}': no head of recipe '{recipe.name}' has this loss; it has {', '.join(known)}")


def _generic_loss(recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    outputs = [
        {head: tensors[prediction_name(head, stack)] for head in recipe.active_heads}
        for stack in range(recipe.num_stacks)
    ]
    total, losses = TOTALS[recipe.family](recipe)(outputs, tensors)
    return {"loss": total} | {f"loss_{head}": loss for head, loss in losses.items()}


def _generic_loss_grad(recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = [prediction_name(head, stack) for stack in range(recipe.num_stacks) for head in recipe.active_heads]
    return losses_and_gradients(lambda given: _generic_loss(recipe, given), tensors, predictions=names)


REFERENCES: Mapping[str, Reference] = {
    "gather_feat": _gather_feat,
    **{kind: _single(kind) for kind in CRITERIA},
    "generic_loss": _generic_loss,
    "generic_loss_grad": _generic_loss_grad,
}
"""By graph name: the recipe and the inputs, in; PyTorch's result for every output, out."""
