"""CenterHead's loss as PyTorch trains it: CenterPoint on a bird's-eye map, one task.

Source: CenterPoint `det3d/models/bbox_heads/center_head.py`.
"""

__all__ = ["CenterHeadLoss"]

from collections.abc import Sequence

from torch import Tensor, nn

from lossrt.models.reference.heads import CRITERIA, Batch, head_losses
from lossrt.recipe import Recipe


class CenterHeadLoss(nn.Module):
    """Heatmap loss and weight · box loss, the box's channels summed with their code weights.

    Args:
        recipe: Heads, weights, code weights and activation.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def forward(self, outputs: Sequence[Batch], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total, every head's loss, and `anno_box_dims`, the box's loss by channel.

        Args:
            outputs: One mapping a stack, head → [B, D, H, W], raw network outputs.
            batch: CenterPoint's example of one task: `hm`, `ind`, `mask`, `cat`, `anno_box`.
        """
        losses = head_losses(self.recipe, outputs, batch, criteria=CRITERIA)
        loss = self.recipe.weights["hm"] * losses["hm"]
        for head in self.recipe.active_heads:
            if head != "hm":
                loss = loss + self.recipe.weights[head] * losses[head]
        return loss, losses
