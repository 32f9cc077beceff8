"""Running exported graphs, and what they must give."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from lossrt.models import GRAPHS
from lossrt.recipe import Recipe
from tests.models.samples import tensors_of
from tests.validators.samples import sample_batch

NAMES = ("gather_feat", "fast_focal", "reg_weighted_l1", "generic_loss")

Arrays = dict[str, NDArray[Any]]


def feeds(graph: str, recipe: Recipe, seed: int = 0, **sizes: Any) -> Arrays:
    """Return inputs of a graph, of the recipe's sizes or of others."""
    arrays = sample_batch(recipe.model_copy(update=sizes), seed)
    arrays["feat"] = arrays["pred_reg"] if "reg" in recipe.heads else arrays["pred_hm"]
    return {tensor.name: arrays[tensor.name] for tensor in GRAPHS[graph].spec(recipe).inputs}


def run(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Run a model in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def expected(graph: str, recipe: Recipe, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return what PyTorch's own form gives in float64."""
    outputs = GRAPHS[graph].reference(recipe, tensors_of(inputs, torch.float64))
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def assert_right(graph: str, recipe: Recipe, model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Run a model and compare every output with float64, to the accuracy that the project promises."""
    got, wanted = run(model, inputs), expected(graph, recipe, inputs)
    assert list(got) == list(wanted)
    for name, value in wanted.items():
        assert got[name].dtype == np.float32
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name].astype(np.float64), value, rtol=1e-6, err_msg=name)
    return got
