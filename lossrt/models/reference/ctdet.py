"""CtdetLoss as PyTorch trains it: CenterNet's detector.

Source: CenterNet `src/lib/trains/ctdet.py`.
"""

__all__ = ["CtdetLoss"]

from collections.abc import Sequence

from torch import Tensor, nn

from lossrt.models.reference.heads import CRITERIA, Batch, head_losses
from lossrt.recipe import Recipe

ORDER = ("hm", "wh", "reg")
"""The terms as upstream adds them; heads of CenterNet's other tasks follow in the recipe's order."""


class CtdetLoss(nn.Module):
    """hm_weight · heatmap + wh_weight · size + off_weight · offset, each averaged over the stacks.

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
            batch: CenterNet's batch under wire names; upstream's `reg_mask` is `mask` here.
        """
        losses = head_losses(self.recipe, outputs, batch, criteria=CRITERIA)
        active = self.recipe.active_heads
        first = [head for head in ORDER if head in active]
        terms = [self.recipe.weights[head] * losses[head] for head in dict.fromkeys([*first, *active])]
        loss = terms[0]
        for term in terms[1:]:
            loss = loss + term
        return loss, losses
