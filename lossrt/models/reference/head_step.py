"""A training step of the heads as PyTorch does it: dense convolutions, autograd, clip_grad_norm_, torch.optim.

The baseline of every comparison, never exported. Heads are CenterTrack's (`src/lib/model/networks/base_model.py`).
"""

__all__ = ["TrainedHeads", "head_step", "optimizer_of"]

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lossrt.models.reference.heads import CRITERIA, activated, channel_losses
from lossrt.recipe import HEADS, Finetune, Recipe, StepOptimizer, StepScope

Batch = Mapping[str, Tensor]
# torch.optim's name of what the graph calls momentum.
STATE: dict[StepOptimizer, dict[str, str]] = {
    "sgd": {"momentum": "momentum_buffer"},
    "adamw": {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"},
}


class TrainedHeads(nn.Module):
    """Every head of a recipe on shared features, and the total loss.

    Args:
        recipe: Heads, losses and weights; the heads' outputs are not activated, whatever it says.
        parameters: `<head>_0_weight`, `<head>_0_bias`, `<head>_2_weight`, `<head>_2_bias`; without the first two a
            head starts from its hidden activations.
    """

    def __init__(self, recipe: Recipe, parameters: Batch) -> None:
        super().__init__()
        self.recipe = recipe.model_copy(update={"activation": {}})
        self.learned = nn.ParameterDict({name: nn.Parameter(value.clone()) for name, value in parameters.items()})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and `loss_<head>`.

        Args:
            batch: `features`, [B, F, H, W], or `hidden_<head>`, [B, K, H, W] or, gathered at the objects, [B, K, S];
                and CenterTrack's targets.
        """
        losses, vectors = {}, {}
        for head in self.recipe.active_heads:
            output, targets = self._output(head, batch)
            loss = CRITERIA[self.recipe.loss_kind(head)](
                self.recipe, head, activated(self.recipe, head, output), targets
            )
            losses[head] = loss
            if self.recipe.loss_kind(head) == "code_weighted_l1":
                vectors[f"loss_{head}_dims"] = channel_losses(head, output, targets)
        total = sum((self.recipe.weights[head] * loss for head, loss in losses.items()), torch.zeros(()))
        return {"loss": total} | {f"loss_{head}": loss for head, loss in losses.items()} | vectors

    def _output(self, head: str, batch: Batch) -> tuple[Tensor, Batch]:
        if "features" in batch:
            weight, bias = self.learned[f"{head}_0_weight"], self.learned[f"{head}_0_bias"]
            hidden = torch.relu(nn.functional.conv2d(batch["features"], weight, bias, padding=1))
        else:
            hidden = batch[f"hidden_{head}"]
        targets = batch
        if hidden.ndim == 3:
            # What was gathered is a map of one row, whose slots lie in order.
            hidden = hidden.unsqueeze(2)
            targets = {**batch, HEADS[head].index: torch.arange(hidden.shape[3]).expand(len(hidden), -1)}
        return nn.functional.conv2d(hidden, self.learned[f"{head}_2_weight"], self.learned[f"{head}_2_bias"]), targets


def optimizer_of(module: nn.Module, optimizer: StepOptimizer, table: Finetune, *, lr: float) -> torch.optim.Optimizer:
    """Return torch.optim's optimizer over a module's parameters, as a recipe's table has it."""
    if optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), lr, momentum=table.momentum, weight_decay=table.weight_decay)
    return torch.optim.AdamW(module.parameters(), lr, table.betas, table.eps, table.weight_decay)


def head_step(recipe: Recipe, tensors: Batch, *, scope: StepScope, optimizer: StepOptimizer) -> dict[str, Tensor]:
    """Return what graph `head_step_<scope>_<optimizer>` returns, in float32 or float64 as the tensors are.

    Args:
        recipe: The recipe; its table `finetune`, or the defaults of one.
        tensors: The graph's inputs by wire name.
        scope: Says no more than the inputs do.
        optimizer: `sgd` or `adamw`.
    """
    del scope
    table = recipe.finetune or Finetune()
    given = {name.removeprefix("param_"): value for name, value in tensors.items() if name.startswith("param_")}
    with torch.enable_grad():
        heads = TrainedHeads(recipe, given)
        losses = heads(tensors)
        losses["loss"].backward()
    learned = dict(heads.learned.items())
    norm = nn.utils.clip_grad_norm_(learned.values(), table.clip_norm or math.inf)
    stepper = optimizer_of(heads, optimizer, table, lr=float(tensors["lr"]))
    for name, parameter in learned.items():
        stepper.state[parameter] = {
            theirs: tensors[f"{ours}_{name}"].clone() for ours, theirs in STATE[optimizer].items()
        }
        if optimizer == "adamw":
            stepper.state[parameter]["step"] = tensors["step"].clone()
    stepper.step()
    outputs = {name: loss.detach() for name, loss in losses.items()} | {"grad_norm": norm.detach()}
    outputs |= {f"new_param_{name}": parameter.detach() for name, parameter in learned.items()}
    for ours, theirs in STATE[optimizer].items():
        outputs |= {f"new_{ours}_{name}": stepper.state[parameter][theirs] for name, parameter in learned.items()}
    return outputs | ({"new_step": tensors["step"] + 1} if optimizer == "adamw" else {})
