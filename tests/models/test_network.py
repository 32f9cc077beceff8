"""The small network: what it gives, and that its file splits into the parts that training needs."""

import numpy as np
import onnx
import pytest
import torch

from lossrt.export.onnx_from_network import INPUTS, onnx_from_network
from lossrt.models.network import HEATMAP_BIAS, TrackingNetwork
from lossrt.passes.split import backbone
from lossrt.passes.split_heads import find_heads, named_outputs
from lossrt.runtime.ort import OrtSession


@pytest.fixture(scope="module")
def recipe(small_recipe):
    return small_recipe.model_copy(update={"input": (36, 44)})


@pytest.fixture(scope="module")
def network(recipe) -> TrackingNetwork:
    torch.manual_seed(0)
    network = TrackingNetwork(recipe.heads, features=8, head_conv=4)
    network(*(torch.randn(2, channels, 36, 44) for channels in INPUTS.values()))  # moves the running means off 0
    return network.eval()


@pytest.fixture(scope="module")
def model(network, recipe) -> onnx.ModelProto:
    return onnx_from_network(network, recipe)


def test_the_file_gives_what_the_network_gives_at_any_batch(network, recipe, model) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    for batch in (1, 3):
        inputs = {name: torch.randn(batch, channels, 36, 44) for name, channels in INPUTS.items()}
        got = OrtSession(model.SerializeToString()).run({name: array.numpy() for name, array in inputs.items()})
        with torch.no_grad():
            expected = network(*inputs.values())
        for head, channels in recipe.heads.items():
            assert got[head].shape == (batch, channels, 9, 11)
            np.testing.assert_allclose(got[head], expected[head].numpy(), rtol=1e-5, atol=1e-5)


def test_its_heads_are_found_under_the_checkpoints_names(network, recipe, model) -> None:
    heads = find_heads(model, named_outputs(model))
    state = network.state_dict()
    for name, original in heads.parameters().items():
        head, layer, kind = name.rsplit("_", 2)
        assert original == f"{head}.{layer}.{kind}"
        assert original in state
    assert heads.channels == 8
    inputs = {name: torch.randn(1, channels, 36, 44) for name, channels in INPUTS.items()}
    part = backbone(model, heads).SerializeToString()
    got = OrtSession(part).run({name: array.numpy() for name, array in inputs.items()})
    with torch.no_grad():
        expected = network.features(*inputs.values())
    np.testing.assert_allclose(got[heads.features], expected.numpy(), rtol=1e-5, atol=1e-5)
    assert state["hm.2.bias"].item() == pytest.approx(HEATMAP_BIAS)


def test_every_input_counts(network) -> None:
    inputs = [torch.randn(1, channels, 36, 44) for channels in INPUTS.values()]
    with torch.no_grad():
        before = network.features(*inputs)
        for place in range(len(inputs)):
            changed = [tensor + (number == place) for number, tensor in enumerate(inputs)]
            assert not torch.equal(network.features(*changed), before)
