"""GenericLoss as PyTorch trains it: every head, weighted and summed over the stacks.

Source: CenterTrack `src/lib/trainer.py`.
"""

__all__ = ["GenericLoss"]

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lossrt.models.reference.heads import CRITERIA, Batch, head_losses
from lossrt.recipe import Recipe


class GenericLoss(nn.Module):
    """The weighted sum of the losses of a recipe's heads.

    Args:
        recipe: Heads, losses, weights, activation and number of stacks.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def forward(self, outputs: Sequence[Batch], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total and every head's loss.

        Args:
            outputs: One mapping a stack, head → [B, D, H, W], raw network outputs.
            batch: CenterTrack's batch: `hm`, `ind`, `mask`, `cat`, `<head>`, `<head>_mask`, …
        """
        losses = head_losses(self.recipe, outputs, batch, criteria=CRITERIA)
        if "hp_offset" in losses and "hm_hp" not in losses:
            # Upstream looks for hp_offset only where there is hm_hp.
            losses["hp_offset"] = torch.zeros_like(losses["hp_offset"])
        total = torch.zeros_like(losses["hm"])
        for head in self.recipe.active_heads:
            total = total + self.recipe.weights[head] * losses[head]
        return total, losses
