"""How heads are trained on: the table `[finetune]` of a recipe."""

__all__ = ["STEPS", "Finetune", "StepKind", "StepOptimizer", "StepScope"]

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

StepScope = Literal["full", "last"]
StepOptimizer = Literal["sgd", "adamw"]
StepKind = Literal["full.sgd", "full.adamw", "last.sgd", "last.adamw"]
STEPS: tuple[StepKind, ...] = ("full.sgd", "full.adamw", "last.sgd", "last.adamw")
"""Training steps of the heads: what they train, and the optimizer."""


class Finetune(BaseModel):
    """How the heads are trained on: table `[finetune]` of a recipe; immutable.

    Attributes:
        steps: Training steps that `lossrt export` writes.
        momentum: Momentum of SGD.
        weight_decay: Weight decay: coupled for SGD, decoupled for AdamW, as torch.optim has it.
        betas: AdamW's decay of the averages of the gradient and of its square.
        eps: AdamW's addend to the denominator.
        clip_norm: Global norm that gradients are clipped to; 0 for no clipping.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[StepKind, ...] = ("full.sgd",)
    momentum: float = Field(default=0.9, gt=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, lt=1)
    betas: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=0, lt=1)]] = (0.9, 0.999)
    eps: float = Field(default=1e-8, ge=1e-12, le=1e-2)
    clip_norm: float = Field(default=0.0, ge=0, allow_inf_nan=False)
