"""Predictions to feed the losses with: recorded ones, or a stand-in where no network is at hand."""

__all__ = ["half_trained_predictions", "parameters", "read_heads"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lossrt.arrays import read_arrays
from lossrt.errors import InputError
from lossrt.recipe import HEADS, Recipe, prediction_name
from lossrt.spec import GraphSpec, TensorSpec, check_arrays
from lossrt.targets.stand_ins import aims, background, depth_logits, parameters

BACKGROUND = -4.6  # the bias that CenterTrack's heatmap head starts from
PEAK = 2.0  # the logit that a half-trained network gives to an object
CLAMP = 1e-4  # of upstream's sigmoid, at both ends


def half_trained_predictions(
    batch: Mapping[str, NDArray[Any]], recipe: Recipe, *, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Make up what a network half-way through training might say: the targets, blurred, damped and noisy.

    This stands in for recorded predictions (`read_heads`): the losses come out at a size that is usual in training,
    but nothing here has seen an image. Heatmaps are logits, -4.6 where there is nothing and about 2 on an object,
    with peaks √2 times as wide as the target's and noise of 0.7. Regressions are noise of 0.1 px, and in the 3x3
    cells around an object 0.9 of its target with 5 % of noise more. Depths stand before 20 m, as the logits that decode
    to them; rotations and attributes are logits of ±1.5 and damped sines and cosines; embeddings point roughly along
    the row of their identity in the classifier of `parameters` with the same seed. A recipe whose network activates a
    head itself gets the clamped sigmoid, or the depth.

    Args:
        batch: Targets with B in front, as `lossrt.targets.encode.encode_batch` gives them.
        recipe: Heads, stacks and activations.
        seed: Seed of everything random; the same arguments give the same arrays.

    Returns:
        `pred_<head>` [B, D, H, W] float32 for every active head, and `pred_<head>_stack<s>` for further stacks.
    """
    rng = np.random.default_rng(seed)
    predictions = {}
    for stack in range(recipe.num_stacks):
        for head in recipe.active_heads:
            if HEADS[head].loss == "fast_focal":
                values = _blurred_logits(rng, batch[head])
                if recipe.is_applied(head):
                    values = _clamped_sigmoid(values)
            else:
                values = _painted_map(rng, batch, head, recipe, seed)
                if head == "dep" and not recipe.is_applied(head):
                    values = depth_logits(values)
            predictions[prediction_name(head, stack)] = values
    return predictions


def _blurred_logits(rng: Generator, heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    # The square root of a gaussian is a gaussian √2 times as wide.
    logits = np.sqrt(heatmap) * np.float32(PEAK - BACKGROUND) + np.float32(BACKGROUND)
    logits += np.float32(0.7) * rng.standard_normal(heatmap.shape, dtype=np.float32)
    return logits


def _clamped_sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(1 / (1 + np.exp(-logits)), np.float32(CLAMP), np.float32(1 - CLAMP))


def _painted_map(
    rng: Generator, batch: Mapping[str, NDArray[Any]], head: str, recipe: Recipe, seed: int
) -> NDArray[np.float32]:
    """Paint every object's damped target around its cell; its own cell last, so that no neighbour covers it."""
    height, width = recipe.map_size
    image, cells, wanted = aims(head, batch, recipe, seed=seed)
    row, column = np.divmod(cells, width)
    values = np.full((len(batch["hm"]), recipe.heads[head], height, width), background(head), dtype=np.float32)
    wobble = rng.standard_normal(wanted.shape, dtype=np.float32)
    said = np.float32(0.9) * wanted + np.float32(0.05) * np.abs(wanted) * wobble
    around = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    for dy, dx in sorted(around, key=lambda step: step == (0, 0)):
        y, x = np.clip(row + dy, 0, height - 1), np.clip(column + dx, 0, width - 1)
        values[image, :, y, x] = said
    values += np.float32(0.1) * rng.standard_normal(values.shape, dtype=np.float32)
    return values


def read_heads(path: str | Path, recipe: Recipe) -> dict[str, NDArray[Any]]:
    """Read recorded predictions.

    Args:
        path: A safetensors file with a tensor `pred_<head>` [B, D, H, W] for every active head, float32, float16 or
            bfloat16; others in it are left alone.
        recipe: Heads, channels, map size and activations.

    Returns:
        The predictions by wire name, in their type.

    Raises:
        InputError: The file is missing, is not safetensors, or lacks a head; or a head has another shape or type, or
            values outside [0, 1] although the recipe says that it is activated.
        StorageError: The file cannot be read.
    """
    spec = _prediction_spec(recipe)
    arrays = read_arrays(Path(path), what="heads", names={tensor.name for tensor in spec.inputs})
    try:
        check_arrays(spec, arrays)
        for tensor in spec.inputs:
            _check_activated(tensor, arrays[tensor.name])
    except InputError as error:
        raise InputError(f"heads '{path}': {error}") from error
    return arrays


def _prediction_spec(recipe: Recipe) -> GraphSpec:
    height, width = recipe.map_size
    inputs = []
    for stack in range(recipe.num_stacks):
        for head in recipe.active_heads:
            probability = recipe.is_applied(head) and HEADS[head].loss == "fast_focal"
            inputs.append(
                TensorSpec(
                    name=prediction_name(head, stack),
                    dtype="float32",
                    dims=("B", recipe.heads[head], height, width),
                    role="prediction",
                    low=0.0 if probability else None,
                    high=1.0 if probability else None,
                )
            )
    return GraphSpec(name="predictions", inputs=tuple(inputs), outputs=(), sizes={"B": recipe.batch})


def _check_activated(tensor: TensorSpec, array: NDArray[Any]) -> None:
    if tensor.high is None:
        return
    values = array.astype(np.float32)
    bad = (values < 0) | (values > 1)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"tensor '{tensor.name}': expected values in [0, 1], since the recipe says that it is activated, "
            f'got {values[index]} at {index}; record activated values, or set its activation to "raw"'
        )
