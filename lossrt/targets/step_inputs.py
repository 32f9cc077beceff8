"""Inputs of a training step at any size: targets of a generated scene, and features, parameters and state at random."""

__all__ = ["StepDraw", "step_inputs"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, LossKind, Recipe
from lossrt.spec import GraphSpec, TensorSpec, resolved_shape

Arrays = dict[str, NDArray[Any]]
HEATMAPS: frozenset[LossKind] = frozenset({"fast_focal", "focal"})
LEARNING_RATE = 1e-3
STEPS_DONE = 3.0
HEATMAP_BIAS = -4.6  # logit: a probability of one in a hundred, as CenterTrack starts from
STATE = 0.1  # standard deviation of what an optimizer remembers


@dataclass(frozen=True, slots=True)
class StepDraw:
    """What is drawn.

    Attributes:
        started: Whether steps were done before, so that the optimizer has a state.
        heatmap: Factor of the heatmap heads' last weights.
        features: Factor of the features.
    """

    started: bool = True
    heatmap: float = 1.0
    features: float = 1.0


def step_inputs(
    spec: GraphSpec,
    recipe: Recipe,
    targets: Mapping[str, NDArray[Any]],
    *,
    sizes: Mapping[str, int],
    rng: np.random.Generator,
    draw: StepDraw | None = None,
) -> Arrays:
    """Return every input of a step by wire name.

    Args:
        spec: The step's signature.
        recipe: Its heads and losses.
        targets: The encoded batch, of the map that `sizes` says.
        sizes: Size of every named dimension.
        rng: Source of everything random.
        draw: What is drawn.
    """
    chosen = draw or StepDraw()
    arrays: Arrays = {}
    for tensor in spec.inputs:
        if tensor.name in targets:
            arrays[tensor.name] = targets[tensor.name]
        elif tensor.name.startswith("hidden_"):
            arrays[tensor.name] = _hidden(tensor, targets, sizes, rng)
        else:
            arrays[tensor.name] = _drawn(tensor, resolved_shape(tensor.dims, sizes), chosen, rng)
    for head in recipe.active_heads:
        if recipe.loss_kind(head) in HEATMAPS:
            arrays[f"param_{head}_2_weight"] *= np.float32(chosen.heatmap)
            arrays[f"param_{head}_2_bias"] += np.float32(HEATMAP_BIAS)
    return arrays


def _drawn(tensor: TensorSpec, shape: tuple[int, ...], draw: StepDraw, rng: np.random.Generator) -> NDArray[Any]:
    """Return features, parameters, state or scalars, as they are in the middle of a training."""
    if tensor.name in ("lr", "step"):
        return np.asarray(LEARNING_RATE if tensor.name == "lr" else STEPS_DONE * draw.started, dtype=np.float32)
    values = rng.standard_normal(shape)
    if tensor.name == "features":
        values *= draw.features
    elif tensor.name.startswith("param_"):
        # The spread of PyTorch's own initial weights.
        values *= (3 * np.prod(shape[1:])) ** -0.5 if len(shape) > 1 else STATE
    else:
        values *= STATE * draw.started
        values = np.abs(values) if tensor.low == 0 else values
    return values.astype(np.float32)


def _hidden(
    tensor: TensorSpec, targets: Mapping[str, NDArray[Any]], sizes: Mapping[str, int], rng: np.random.Generator
) -> NDArray[Any]:
    """Return hidden activations; those of a head that is read at its slots are gathered from a map."""
    shape = (sizes["B"], sizes[str(tensor.dims[1])], sizes["H"], sizes["W"])
    whole = np.maximum(rng.standard_normal(shape, dtype=np.float32), 0)
    if len(tensor.dims) == len(shape):
        return whole
    index = targets[HEADS[tensor.name.removeprefix("hidden_")].index]
    return np.take_along_axis(whole.reshape(*shape[:2], -1), index[:, None], axis=2)
