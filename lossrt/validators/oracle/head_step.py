"""A training step of the heads in float64: the oracle of the graphs `head_step_<scope>_<optimizer>`.

Dense convolutions as PyTorch has them, the losses' gradients from `gradients`, and derivatives by hand from there to
the weights; independent of PyTorch and of the exported graphs.
"""

__all__ = ["head_step"]

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, Finetune, Recipe, StepOptimizer
from lossrt.spec import Estimate
from lossrt.validators.oracle.gradients import HEAD_GRADIENTS
from lossrt.validators.oracle.head_step_layers import (
    gradients,
    hidden_of,
    neighbourhoods,
    prediction_of,
    read_head,
    size_nearby,
)
from lossrt.validators.oracle.head_step_update import adamw, clipped, global_norm, sgd
from lossrt.validators.oracle.heads import channel_losses, head_loss
from lossrt.validators.oracle.rounded import UNIT, Floats, Rounded, added, estimate

Arrays = Mapping[str, NDArray[Any]]
UPDATES = {"sgd": sgd, "adamw": adamw}


def head_step(recipe: Recipe, arrays: Arrays, *, optimizer: StepOptimizer) -> dict[str, Estimate]:
    """Estimate everything that a step returns.

    Args:
        recipe: Heads, losses, weights, and its table `finetune`, or the defaults of one.
        arrays: The graph's inputs by wire name; `features` for scope `full`, `hidden_<head>` for scope `last`.
        optimizer: `sgd` or `adamw`.

    Returns:
        By output name: losses, `grad_norm`, new parameters and new state.
    """
    raw = recipe.model_copy(update={"activation": {}})
    table = recipe.finetune or Finetune()
    patches = neighbourhoods(arrays["features"]) if "features" in arrays else None
    nearby = size_nearby(arrays["features"]) if "features" in arrays else None
    losses: dict[str, Rounded] = {}
    vectors: dict[str, Estimate] = {}
    slopes: dict[str, Rounded] = {}
    terms = 1
    for head in raw.active_heads:
        layers = read_head(arrays, head)
        whole_map = raw.loss_kind(head) in ("fast_focal", "focal")
        hidden = hidden_of(layers, arrays.get(f"hidden_{head}", np.zeros(0)), patches, nearby if whole_map else None)
        prediction = prediction_of(layers, hidden)
        batch, size = _map_size(arrays, head)
        pred = _as_map(prediction, batch, size)
        targets = _targets(arrays, head)
        losses[head], slope = _loss_and_slope(raw, head, pred, targets)
        if raw.loss_kind(head) == "code_weighted_l1":
            vectors[f"loss_{head}_dims"] = channel_losses(head, pred.value, targets)
        columns = _as_columns(slope)
        slopes |= {f"{head}_{name}": part for name, part in gradients(layers, hidden, columns).items()}
        terms = max(terms, prediction.value.shape[1])
    total = added(*(part.scaled(raw.weights[head]) for head, part in losses.items()))
    norm = global_norm(slopes)
    # In the order and the shape of the parameters.
    shaped = {
        name.removeprefix("param_"): slopes[name.removeprefix("param_")].reshape(*array.shape)
        for name, array in arrays.items()
        if name.startswith("param_")
    }
    new = UPDATES[optimizer](clipped(shaped, norm, table), arrays, table)
    results = {"loss": total} | {f"loss_{head}": part for head, part in losses.items()} | {"grad_norm": norm} | new
    return {name: estimate(part, terms=terms) for name, part in results.items()} | vectors


def _loss_and_slope(recipe: Recipe, head: str, pred: Rounded, targets: Arrays) -> tuple[Rounded, Rounded]:
    """Return a head's loss, and the total's gradient for its prediction, with what the prediction's rounding moves."""
    kind, weight = recipe.loss_kind(head), recipe.weights[head]

    def slope(values: Floats) -> Estimate:
        return HEAD_GRADIENTS[kind](recipe, head, values, targets)

    loss, there = head_loss(recipe, head, pred.value, targets), slope(pred.value)
    ends = [slope(pred.value + sign * pred.error).value for sign in (-1, 1)]
    moved = np.maximum(*(np.abs(end - there.value) for end in ends))
    own = UNIT * np.sqrt(there.terms) * there.scale
    error = UNIT * np.sqrt(loss.terms) * loss.scale + (np.abs(there.value) * pred.error).sum()
    return Rounded(loss.value, np.asarray(error)), Rounded(there.value, own + moved).scaled(weight)


def _map_size(arrays: Arrays, head: str) -> tuple[int, tuple[int, int]]:
    """Return the number of images and the size of a head's map; what was gathered is a map of one row."""
    given = arrays["features"] if "features" in arrays else arrays[f"hidden_{head}"]
    return len(given), (given.shape[2], given.shape[3]) if given.ndim == 4 else (1, given.shape[2])


def _targets(arrays: Arrays, head: str) -> Arrays:
    """Return the targets; the slots of what was gathered lie in order."""
    if "features" in arrays or arrays[f"hidden_{head}"].ndim == 4:
        return arrays
    batch, _, slots = arrays[f"hidden_{head}"].shape
    return {**arrays, HEADS[head].index: np.broadcast_to(np.arange(slots), (batch, slots))}


def _as_map(values: Rounded, batch: int, size: tuple[int, int]) -> Rounded:
    def moved(part: Floats) -> Floats:
        return np.ascontiguousarray(np.moveaxis(part.reshape(len(part), batch, *size), 1, 0))

    return Rounded(moved(values.value), moved(values.error))


def _as_columns(values: Rounded) -> Rounded:
    def moved(part: Floats) -> Floats:
        return np.moveaxis(part, 1, 0).reshape(part.shape[1], -1)

    return Rounded(moved(values.value), moved(values.error))
