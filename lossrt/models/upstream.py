"""The total losses with upstream's own operators, made exportable: what users export today, for bench and lint only.

They differ from upstream where no exporter takes it, as little as possible, with the same values:

- the focal losses' branch on the number of objects becomes a clamp of the divisor;
- the rows of an orientation's bin, which upstream finds with nonzero and index_select, are masked, their mean a
  quotient of sums, and the branch on their number a clamp;
- the boolean index of FairMOT's identities becomes a label that the cross-entropy ignores, so that every slot is
  classified;
- sigmoids are not in place.

The copies of whole maps and the reductions of every head stay.
"""

__all__ = ["UpstreamLoss"]

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lossrt.models.reference.gather import transpose_and_gather_feat
from lossrt.models.reference.heads import CRITERIA, Batch, Criterion, head_losses
from lossrt.recipe import HEADS, LossKind, Recipe, prediction_name


class UpstreamLoss(nn.Module):
    """The total loss and every head's loss, with permute, contiguous and gather on whole maps.

    Args:
        recipe: Heads, losses, weights, activation, family and number of stacks.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs of graph `generic_loss` from its inputs."""
        outputs = [
            {head: tensors[prediction_name(head, stack)] for head in self.recipe.active_heads}
            for stack in range(self.recipe.num_stacks)
        ]
        losses = head_losses(self.recipe, outputs, tensors, criteria=CRITERIA | _EXPORTABLE)
        return {"loss": self._total(losses, tensors)} | {f"loss_{head}": loss for head, loss in losses.items()}

    def _total(self, losses: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        weighted = {head: self.recipe.weights[head] * losses[head] for head in self.recipe.active_heads}
        if self.recipe.family != "fairmot":
            return _sum(weighted)
        s_det, s_id = tensors["s_det"], tensors["s_id"]
        id_loss = weighted.pop("id", torch.zeros(()))
        return 0.5 * (torch.exp(-s_det) * _sum(weighted) + torch.exp(-s_id) * id_loss + (s_det + s_id))


def _sum(losses: dict[str, Tensor]) -> Tensor:
    total = torch.zeros(())
    for loss in losses.values():
        total = total + loss
    return total


def _fast_focal(_: Recipe, head: str, p: Tensor, batch: Batch) -> Tensor:
    mask, cat = ("hm_hp_mask", "joint") if head == "hm_hp" else ("mask", "cat")
    neg = (torch.log(1 - p) * torch.pow(p, 2) * torch.pow(1 - batch[head], 4)).sum()
    q = transpose_and_gather_feat(p, batch[HEADS[head].index]).gather(2, batch[cat].unsqueeze(2))
    pos = (torch.log(q) * torch.pow(1 - q, 2) * batch[mask].unsqueeze(2)).sum()
    return -(pos + neg) / batch[mask].sum().clamp(min=1)


def _focal(_: Recipe, head: str, p: Tensor, batch: Batch) -> Tensor:
    t = batch[head]
    positives, negatives = t.eq(1).to(p.dtype), t.lt(1).to(p.dtype)
    pos = (torch.log(p) * torch.pow(1 - p, 2) * positives).sum()
    neg = (torch.log(1 - p) * torch.pow(p, 2) * torch.pow(1 - t, 4) * negatives).sum()
    return -(pos + neg) / positives.sum().clamp(min=1)


def _bin_rot(_: Recipe, head: str, output: Tensor, batch: Batch) -> Tensor:
    rows = transpose_and_gather_feat(output, batch[HEADS[head].index]).view(-1, 8)
    bins, angles = batch["rotbin"].view(-1, 2), batch["rotres"].view(-1, 2)
    known = batch[f"{head}_mask"].view(-1, 1)
    loss = torch.zeros(())
    for number in range(2):
        fields = rows[:, 4 * number : 4 * number + 4]
        loss = loss + functional.cross_entropy(fields[:, 0:2] * known, bins[:, number])
        inside = bins[:, number] != 0
        for column, wanted in ((2, torch.sin(angles[:, number])), (3, torch.cos(angles[:, number]))):
            residual = functional.smooth_l1_loss(fields[:, column], wanted, reduction="none")
            loss = loss + torch.where(inside, residual, 0.0).sum() / inside.sum().clamp(min=1)
    return loss


def _identity(_: Recipe, head: str, output: Tensor, batch: Batch) -> Tensor:
    embedding = transpose_and_gather_feat(output, batch[HEADS[head].index]).flatten(0, 1)
    scale = math.sqrt(2) * math.log(batch["id_weight"].shape[0] - 1)
    logits = functional.linear(scale * functional.normalize(embedding), batch["id_weight"], batch["id_bias"])
    labels = torch.where(batch["mask"] > 0, batch["ids"], -1)
    return functional.cross_entropy(logits, labels.flatten(), ignore_index=-1)


_EXPORTABLE: dict[LossKind, Criterion] = {
    "fast_focal": _fast_focal,
    "focal": _focal,
    "bin_rot": _bin_rot,
    "identity": _identity,
}
