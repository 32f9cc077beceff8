"""A network of CenterTrack's form → one ONNX model with CenterTrack's names, batch open."""

__all__ = ["INPUTS", "onnx_from_network"]

import warnings

import onnx
import torch
from torch import nn

from lossrt.export.onnx_from_graph import quiet
from lossrt.recipe import Recipe

INPUTS = {"image": 3, "pre_img": 3, "pre_hm": 1}
"""Channels of each input, by name."""


def onnx_from_network(network: nn.Module, recipe: Recipe) -> onnx.ModelProto:
    """Export a network, such as `lossrt.models.network.TrackingNetwork`.

    Args:
        network: Takes image, previous image and previous heatmap, and returns the maps of the recipe's heads by name.
        recipe: Input size, and the heads in the network's order.

    Returns:
        A model whose inputs are `image`, `pre_img` and `pre_hm`, whose outputs are called as the heads, and whose
        initializers are called as the network's parameters.
    """
    examples = {name: torch.zeros(2, channels, *recipe.input) for name, channels in INPUTS.items()}
    batch = torch.export.Dim("B", min=1)
    with warnings.catch_warnings(), quiet("torch.onnx"):
        # The exporter warns of its own deprecations; none concerns the graph.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(),
            tuple(examples.values()),
            dynamo=True,
            opset_version=18,
            verbose=False,
            input_names=list(INPUTS),
            output_names=list(recipe.heads),
            dynamic_shapes=tuple({0: batch} for _ in INPUTS),
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    model.producer_name, model.producer_version = "lossrt", ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model
