"""GenericLoss as PyTorch trains it: every head, weighted and summed over the stacks.

Source: CenterTrack `src/lib/trainer.py`.
"""

__all__ = ["GenericLoss"]

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lossrt.models.reference.fast_focal import FastFocalLoss, activate
from lossrt.models.reference.reg_weighted_l1 import RegWeightedL1Loss
from lossrt.recipe import Recipe


class GenericLoss(nn.Module):
    """The weighted sum of the losses of a recipe's heads.

    Args:
        recipe: Heads, weights, activation and number of stacks.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.crit = FastFocalLoss()
        self.crit_reg = RegWeightedL1Loss()

    def forward(
        self, outputs: Sequence[Mapping[str, Tensor]], batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total and every head's loss.

        Args:
            outputs: One mapping a stack, head → [B, D, H, W], raw network outputs.
            batch: CenterTrack's batch: `hm`, `ind`, `mask`, `cat`, `<head>`, `<head>_mask`.
        """
        heads = [head for head in self.recipe.heads if self.recipe.weights[head] != 0]
        losses = {head: torch.zeros((), dtype=batch["hm"].dtype) for head in heads}
        for output in outputs:
            for head in heads:
                losses[head] = losses[head] + self._head(head, output[head], batch) / self.recipe.num_stacks
        tot_loss = torch.zeros((), dtype=batch["hm"].dtype)
        for head in heads:
            tot_loss = tot_loss + self.recipe.weights[head] * losses[head]
        return tot_loss, losses

    def _head(self, head: str, output: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        if head == "hm":
            p = output if self.recipe.activation.get("hm") == "applied" else activate(output)
            return self.crit(p, batch["hm"], batch["ind"], batch["mask"], batch["cat"])  # type: ignore[no-any-return]
        return self.crit_reg(output, batch[f"{head}_mask"], batch["ind"], batch[head])  # type: ignore[no-any-return]
