"""MotLoss as PyTorch trains it: FairMOT's detection and identity, weighed by learned uncertainties.

Source: FairMOT `src/lib/trains/mot.py`.
"""

__all__ = ["MotLoss"]

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lossrt.models.reference.heads import CRITERIA, Batch, head_losses
from lossrt.recipe import Recipe


class MotLoss(nn.Module):
    """½·(e^−s_det · detection + e^−s_id · identity + s_det + s_id); the learned s come with the batch, as scalars.

    Upstream adds the identity's losses of several stacks, where it averages all others', and uses its weight only to
    switch it on. Its networks have one stack and the weight is 1; here the identity is averaged and weighted as well.

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
            batch: FairMOT's batch under wire names, with the parameters `id_weight`, `id_bias`, `s_det` and `s_id`;
                upstream's `reg_mask` is `mask` here.
        """
        losses = head_losses(self.recipe, outputs, batch, criteria=CRITERIA)
        det_loss, id_loss = torch.zeros_like(losses["hm"]), torch.zeros_like(losses["hm"])
        for head in self.recipe.active_heads:
            if head == "id":
                id_loss = self.recipe.weights[head] * losses[head]
            else:
                det_loss = det_loss + self.recipe.weights[head] * losses[head]
        s_det, s_id = batch["s_det"], batch["s_id"]
        loss = torch.exp(-s_det) * det_loss + torch.exp(-s_id) * id_loss + (s_det + s_id)
        return loss * 0.5, losses
