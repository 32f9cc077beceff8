"""From frozen features to the predictions that the losses read: heatmap heads over the whole map, the others at the objects.

Heads are CenterTrack's: a 3x3 convolution, ReLU, a 1x1 convolution.
"""

__all__ = ["Parameters", "full_predictions", "last_predictions"]

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lossrt.models.gather import gather_feat
from lossrt.models.head_step_conv import (
    BEFORE,
    BEHIND,
    PIXELS,
    convolved,
    convolved_exactly,
    filter_tiles,
    input_tiles,
    map_from_tiles,
    plain_tiles,
)
from lossrt.models.head_step_spec import TAPS, is_dense, step_heads
from lossrt.recipe import HEADS, Recipe, prediction_name

Parameters = Mapping[str, Tensor]


def full_predictions(
    recipe: Recipe, parameters: Parameters, tensors: Mapping[str, Tensor], *, exact: bool
) -> dict[str, Tensor]:
    """Return every head's prediction from `features`: [B, D, H, W] where the loss reads a map, else [B, D, S].

    Args:
        recipe: The heads.
        parameters: Weights and biases of both convolutions.
        tensors: The graph's inputs: `features`, [B, F, H, W], and the indices.
        exact: Spend twice the time on gradients that are small for their sums.
    """
    features = tensors["features"]
    padded = torch.nn.functional.pad(features, (BEFORE, BEHIND, BEFORE, BEHIND))
    dense = [head for head in step_heads(recipe) if is_dense(recipe, head)]
    tiles = input_tiles(padded)
    plain = plain_tiles(padded) if exact else None
    predictions = {}
    for head in dense:
        before = _convolved(parameters[f"{head}_0_weight"], tiles, plain) + parameters[f"{head}_0_bias"].unsqueeze(1)
        predictions[head] = _dense(head, parameters, before, features)
    patches: dict[str, Tensor] = {}
    for head in step_heads(recipe):
        index = HEADS[head].index
        if head not in dense and index not in patches:
            patches[index] = _patches(padded, tensors[index], features.shape[3])
        if head not in dense:
            predictions[head] = _at_objects(head, parameters, patches[index], features.shape[0])
    return {prediction_name(head): predictions[head] for head in step_heads(recipe)}


def last_predictions(recipe: Recipe, parameters: Parameters, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return every head's prediction from its hidden activations, `hidden_<head>`.

    Args:
        recipe: The heads.
        parameters: Weights and biases of the 1x1 convolutions.
        tensors: The graph's inputs: [B, K, H, W] for a head that the loss reads over the map, else [B, K, S].
    """
    predictions = {}
    for head in step_heads(recipe):
        hidden = tensors[f"hidden_{head}"]
        weight = parameters[f"{head}_2_weight"].flatten(1).unsqueeze(0).expand(hidden.shape[0], -1, -1)
        # Once for each image: ONNX Runtime loses digits where it sums a gradient over two axes at once.
        bias = parameters[f"{head}_2_bias"].reshape(1, -1, 1).expand(hidden.shape[0], -1, 1)
        values = torch.bmm(weight, hidden.flatten(2)) + bias
        predictions[prediction_name(head)] = values.reshape(*values.shape[:2], *hidden.shape[2:])
    return predictions


def _convolved(weight: Tensor, tiles: Tensor, plain: Tensor | None) -> Tensor:
    return convolved(tiles, filter_tiles(weight)) if plain is None else convolved_exactly(tiles, plain, weight)


def _dense(
    head: str, parameters: Parameters, before: Float[Tensor, "16 K N"], features: Float[Tensor, "B F H W"]
) -> Float[Tensor, "B D H W"]:
    weight = parameters[f"{head}_2_weight"].flatten(1).unsqueeze(0).expand(PIXELS, -1, -1)
    # Once for each pixel of the tile: ONNX Runtime loses digits where it sums a gradient over two axes at once.
    bias = parameters[f"{head}_2_bias"].reshape(1, -1, 1).expand(PIXELS, -1, 1)
    return map_from_tiles(torch.bmm(weight, _relu(before)) + bias, features)


def _at_objects(head: str, parameters: Parameters, patches: Float[Tensor, "P N"], batch: int) -> Float[Tensor, "B D S"]:
    """Both convolutions at the objects' pixels are plain products; a pixel that two objects share is computed twice."""
    before = parameters[f"{head}_0_weight"].flatten(1) @ patches + parameters[f"{head}_0_bias"].unsqueeze(1)
    values = parameters[f"{head}_2_weight"].flatten(1) @ _relu(before) + parameters[f"{head}_2_bias"].unsqueeze(1)
    by_image: Tensor = values.reshape(values.shape[0], batch, -1).transpose(0, 1)
    return by_image


class _Relu(torch.autograd.Function):
    """ReLU whose gradient is a product: a selection takes ONNX Runtime four times as long.

    The mask is made anew from the result, which is kept anyway: a kept mask would be as large as the hidden map.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor) -> Tensor:
        hidden = torch.relu(values)
        ctx.save_for_backward(hidden)
        return hidden

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> Tensor:
        (hidden,) = ctx.saved_tensors  # type: ignore[attr-defined]  # ctx takes any attribute
        passed: Tensor = grads[0] * (hidden > 0).to(hidden.dtype)
        return passed


def _relu(values: Tensor) -> Tensor:
    hidden: Tensor = _Relu.apply(values)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return hidden


def _patches(padded: Float[Tensor, "B F Hp Wp"], ind: Int64[Tensor, "B S"], width: int) -> Float[Tensor, "P N"]:
    """Read the 3x3 neighbourhoods of the objects' pixels, as columns of 9·F, one for each of the B·S slots.

    Args:
        padded: The features with zeros around them.
        ind: Pixel of each slot, y·width + x.
        width: Width of the map without the zeros.
    """
    batch, features, _, padded_width = padded.shape
    corner = ind + torch.div(ind, width, rounding_mode="floor") * (padded_width - width)
    shifts = [row * padded_width + column for row in range(TAPS) for column in range(TAPS)]
    around = torch.cat([corner + shift for shift in shifts], dim=1)
    values: Tensor = gather_feat(padded, around).reshape(batch, TAPS * TAPS, -1, features)
    return values.permute(3, 1, 0, 2).reshape(TAPS * TAPS * features, -1)
