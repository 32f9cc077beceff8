"""Which oracle knows which graph: from wire names to float64 estimates of every output."""

__all__ = ["LARGE_OUTPUTS", "ORACLES", "Oracle"]

from collections.abc import Callable, Mapping
from functools import partial

from lossrt.errors import InputError
from lossrt.recipe import STEPS, LossKind, Recipe, StepKind, StepOptimizer, prediction_name
from lossrt.spec import Estimate
from lossrt.validators.oracle.gather import gather_feat
from lossrt.validators.oracle.generic import generic_loss
from lossrt.validators.oracle.gradients import generic_loss_grad, loss_gradients
from lossrt.validators.oracle.head_step import head_step
from lossrt.validators.oracle.heads import HEAD_LOSSES, Arrays, channel_losses, head_loss

Oracle = Callable[[Recipe, Arrays], dict[str, Estimate]]


def _gather_feat(_: Recipe, arrays: Arrays) -> dict[str, Estimate]:
    return {"gathered": gather_feat(arrays["feat"], arrays["ind"])}


def _single(kind: LossKind) -> Oracle:
    """Return the oracle of the graph that holds one loss: that of the recipe's head for it."""

    def compute(recipe: Recipe, arrays: Arrays) -> dict[str, Estimate]:
        head = _subject(recipe, kind)
        pred = arrays[prediction_name(head)]
        vector = {"loss_dims": channel_losses(head, pred, arrays)} if kind == "code_weighted_l1" else {}
        return {"loss": head_loss(recipe, head, pred, arrays)} | vector

    return compute


def _subject(recipe: Recipe, kind: LossKind) -> str:
    """Return the head that a single-loss graph computes: the first with that loss, `reg` before all others.

    Raises:
        InputError: The recipe trains no head with that loss.
    """
    heads = [head for head in recipe.active_heads if recipe.loss_kind(head) == kind]
    if not heads:
        raise InputError(
            f"graph '{kind}': recipe '{recipe.name}' trains no head with this loss; "
            f"its losses are {', '.join(sorted({recipe.loss_kind(head) for head in recipe.active_heads}))}"
        )
    return "reg" if kind == "reg_weighted_l1" and "reg" in heads else heads[0]


def _step(step: StepKind) -> Oracle:
    optimizer: StepOptimizer = "adamw" if step.endswith(".adamw") else "sgd"
    return partial(head_step, optimizer=optimizer)


ORACLES: Mapping[str, Oracle] = {
    "gather_feat": _gather_feat,
    **{kind: _single(kind) for kind in HEAD_LOSSES},
    "generic_loss": generic_loss,
    "generic_loss_grad": generic_loss_grad,
    **{f"head_step_{step.replace('.', '_')}": _step(step) for step in STEPS},
}
"""By graph name: the recipe and the inputs as deployed, in; an estimate of every output, out.

Inputs may come in any deployed float type; they are widened to float64 as they are, so rounding is not repeated.
"""

LARGE_OUTPUTS: Mapping[str, Oracle] = {"generic_loss_grad": loss_gradients}
"""By graph name: the part of the oracle whose results are too large for the golden cases to keep."""
