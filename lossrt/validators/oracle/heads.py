"""One head's loss in float64, whichever loss the recipe trains it with: from wire names to an estimate."""

__all__ = ["Arrays", "HeadLoss", "HEAD_LOSSES", "channel_losses", "head_loss"]

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from lossrt.recipe import HEADS, LossKind, Recipe
from lossrt.spec import Estimate
from lossrt.validators.oracle.bin_rot import bin_rot
from lossrt.validators.oracle.code_weighted_l1 import channel_l1, code_weighted_l1
from lossrt.validators.oracle.fast_focal import fast_focal
from lossrt.validators.oracle.focal import focal
from lossrt.validators.oracle.identity import identity
from lossrt.validators.oracle.l1 import l1
from lossrt.validators.oracle.norm_reg_l1 import norm_reg_l1
from lossrt.validators.oracle.reg_l1 import reg_l1
from lossrt.validators.oracle.reg_weighted_l1 import reg_weighted_l1
from lossrt.validators.oracle.smooth_l1 import smooth_l1
from lossrt.validators.oracle.weighted_bce import weighted_bce

Arrays = Mapping[str, NDArray[Any]]
HeadLoss = Callable[[Recipe, str, NDArray[Any], Arrays], Estimate]


def head_loss(recipe: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    """Estimate the loss of one head on one prediction.

    Args:
        recipe: Says which loss it is and how the prediction comes.
        head: A head of the recipe.
        pred: Its prediction, [B, D, H, W].
        arrays: Targets and parameters by wire name.

    Returns:
        Scalar loss, before weight and stacks.
    """
    return HEAD_LOSSES[recipe.loss_kind(head)](recipe, head, pred, arrays)


def channel_losses(head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    """Estimate the loss of each channel of a head trained with `code_weighted_l1`, [D]."""
    return channel_l1(pred, arrays[head], arrays["mask"], arrays[HEADS[head].index])


def _fast_focal(recipe: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    mask, cat = ("hm_hp_mask", "joint") if head == "hm_hp" else ("mask", "cat")
    index = arrays[HEADS[head].index]
    return fast_focal(pred, arrays[head], index, arrays[mask], arrays[cat], applied=recipe.is_applied(head))


def _focal(recipe: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    return focal(pred, arrays[head], applied=recipe.is_applied(head))


def _regression(loss: Callable[..., Estimate], *, own_mask: bool = False) -> HeadLoss:
    """Return a loss of (pred, target, mask, ind, raw_depth): with the head's own mask, or with the objects'."""

    def compute(recipe: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
        mask = arrays[f"{head}_mask" if own_mask else "mask"]
        raw_depth = head == "dep" and not recipe.is_applied(head)
        return loss(pred, arrays[head], mask, arrays[HEADS[head].index], raw_depth=raw_depth)

    return compute


def _bin_rot(_: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    return bin_rot(pred, arrays[f"{head}_mask"], arrays[HEADS[head].index], arrays["rotbin"], arrays["rotres"])


def _weighted_bce(_: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    return weighted_bce(pred, arrays[head], arrays[f"{head}_mask"], arrays[HEADS[head].index])


def _identity(_: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    slots = arrays["mask"], arrays[HEADS[head].index], arrays["ids"]
    return identity(pred, *slots, arrays["id_weight"], arrays["id_bias"])


def _code_weighted_l1(recipe: Recipe, head: str, pred: NDArray[Any], arrays: Arrays) -> Estimate:
    return code_weighted_l1(channel_losses(head, pred, arrays), recipe.code_weights or ())


HEAD_LOSSES: dict[LossKind, HeadLoss] = {
    "fast_focal": _fast_focal,
    "reg_weighted_l1": _regression(reg_weighted_l1, own_mask=True),
    "bin_rot": _bin_rot,
    "weighted_bce": _weighted_bce,
    "focal": _focal,
    "reg_l1": _regression(reg_l1),
    "norm_reg_l1": _regression(norm_reg_l1),
    "l1": _regression(l1),
    "smooth_l1": _regression(smooth_l1),
    "identity": _identity,
    "code_weighted_l1": _code_weighted_l1,
}
"""By loss kind: recipe, head, prediction and arrays in, a scalar estimate out."""
