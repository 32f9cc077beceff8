"""GenericLoss with upstream's own operators, made exportable: what users export today, for bench and lint only.

It differs from upstream in two places that no exporter takes: the branch on the number of objects becomes a clamp of
the divisor, and the sigmoid is not in place. The copies of whole maps and the reductions a head stay.
"""

__all__ = ["UpstreamLoss"]

import torch
from torch import Tensor, nn

from lossrt.recipe import Recipe, prediction_name


class UpstreamLoss(nn.Module):
    """The total loss and every head's loss, with permute, contiguous and gather on whole maps.

    Args:
        recipe: Heads, weights, activation and number of stacks.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss` and `loss_<head>`, scalars, from the tensors of graph `generic_loss`."""
        losses: dict[str, Tensor] = {}
        for head in self.recipe.active_heads:
            for stack in range(self.recipe.num_stacks):
                loss = self._head(head, tensors[prediction_name(head, stack)], tensors) / self.recipe.num_stacks
                losses[head] = losses[head] + loss if head in losses else loss
        total = torch.zeros(())
        for head, loss in losses.items():
            total = total + self.recipe.weights[head] * loss
        return {"loss": total} | {f"loss_{head}": loss for head, loss in losses.items()}

    def _head(self, head: str, prediction: Tensor, batch: dict[str, Tensor]) -> Tensor:
        if head != "hm":
            mask = batch[f"{head}_mask"]
            pred = _transpose_and_gather(prediction, batch["ind"])
            return torch.abs(pred * mask - batch[head] * mask).sum() / (mask.sum() + 1e-4)
        p = prediction
        if self.recipe.activation.get("hm") != "applied":
            p = torch.clamp(torch.sigmoid(prediction), 1e-4, 1 - 1e-4)
        neg = (torch.log(1 - p) * torch.pow(p, 2) * torch.pow(1 - batch["hm"], 4)).sum()
        q = _transpose_and_gather(p, batch["ind"]).gather(2, batch["cat"].unsqueeze(2))
        pos = (torch.log(q) * torch.pow(1 - q, 2) * batch["mask"].unsqueeze(2)).sum()
        return -(pos + neg) / batch["mask"].sum().clamp(min=1)


def _transpose_and_gather(feat: Tensor, ind: Tensor) -> Tensor:
    pixels = feat.permute(0, 2, 3, 1).contiguous()
    pixels = pixels.view(feat.shape[0], -1, feat.shape[1])
    return pixels.gather(1, ind.unsqueeze(2).expand(-1, -1, feat.shape[1]))
