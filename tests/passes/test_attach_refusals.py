"""What is not attached, or with a warning: activations and batches that do not fit."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lossrt.errors import InputError
from lossrt.passes.attach import attach_losses
from tests.passes.attachable import network_of, node

ACTIVATED = {
    "raw-but-sigmoid": ("Sigmoid", "raw", r'expected activation.hm = "raw", .*ends in Sigmoid; set activation.hm = "applied"'),
    "applied-but-none": (None, "applied", r'expected activation.hm = "applied", .*ends in Conv; set activation.hm = "raw"'),
}  # fmt: skip


@pytest.mark.parametrize(("last", "says", "message"), ACTIVATED.values(), ids=ACTIVATED)
def test_the_activation_must_be_the_recipes(last, says, message, small_recipe, losses) -> None:
    recipe = small_recipe.model_copy(update={"activation": {"hm": says}})
    with pytest.raises(InputError, match=message):
        attach_losses(network_of(recipe, last={"hm": last} if last else None), losses, recipe)


@pytest.mark.parametrize(
    ("last", "says", "warned"),
    [("Sigmoid", "applied", False), (None, "raw", False), ("Softplus", "raw", True), ("HardSigmoid", "applied", True)],
    ids=["sigmoid", "none", "softplus", "hard-sigmoid"],
)
def test_an_activation_that_cannot_be_told_is_a_warning(last, says, warned, small_recipe, losses) -> None:
    recipe = small_recipe.model_copy(update={"activation": {"hm": says}})
    attached = attach_losses(network_of(recipe, last={"hm": last} if last else None), losses, recipe)
    assert bool(attached.warnings) is warned


@pytest.mark.parametrize("last", ["Relu", "Tanh"])
@pytest.mark.parametrize("says", ["raw", "applied"])
def test_an_activation_that_no_recipe_has_is_refused(last, says, small_recipe, losses) -> None:
    recipe = small_recipe.model_copy(update={"activation": {"hm": says}})
    with pytest.raises(InputError, match=rf"expected raw values or those of a Sigmoid, got .* ends in {last}"):
        attach_losses(network_of(recipe, last={"hm": last}), losses, recipe)


def test_a_regression_head_that_is_activated_is_a_warning(small_recipe, losses) -> None:
    attached = attach_losses(network_of(small_recipe, last={"wh": "Sigmoid", "reg": "Relu"}), losses, small_recipe)
    assert sorted(warning.partition(";")[0] for warning in attached.warnings) == [
        "network: output 'reg' (head 'reg'): ends in Relu",
        "network: output 'wh' (head 'wh'): ends in Sigmoid",
    ]


def test_a_sigmoid_is_seen_through_what_follows_it(small_recipe, losses) -> None:
    network = network_of(small_recipe, last={"hm": "Sigmoid"})
    for entry in network.graph.node:
        if entry.op_type == "Sigmoid":
            entry.output[0] = "hm.p"
    network.graph.initializer.extend(
        numpy_helper.from_array(np.float32(value), name) for name, value in (("low", 1e-4), ("high", 1 - 1e-4))
    )
    network.graph.node.append(node("Clip", ["hm.p", "low", "high"], ["hm.c"]))
    network.graph.node.append(node("Identity", ["hm.c"], ["hm"]))
    with pytest.raises(InputError, match="ends in Sigmoid"):
        attach_losses(network, losses, small_recipe)


def static(losses: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(losses)
    for entry in copy.graph.input:
        entry.type.tensor_type.shape.dim[0].dim_value = batch
    return copy


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (3, r"output 'hm': expected the bundle's batch of 2, got a batch of 3; export the bundle with --batch 3"),
        (
            "n",
            r"output 'hm': expected the bundle's batch of 2, got an open batch; export the bundle with --dynamic batch",
        ),
    ],
    ids=["other", "open"],
)
def test_batches_that_cannot_agree(batch, message, small_recipe, losses) -> None:
    with pytest.raises(InputError, match=message):
        attach_losses(network_of(small_recipe, batch=batch), static(losses, 2), small_recipe)


def test_outputs_of_different_batches(small_recipe, losses) -> None:
    network = network_of(small_recipe, batch=3, declared=True)
    network.graph.node[-1].output[0] = "late"
    network.graph.node.append(node("Concat", ["late", "late"], ["ltrb_amodal"], axis=0))
    network.graph.output[-1].type.tensor_type.shape.dim[0].dim_value = 6
    with pytest.raises(InputError, match="output 'ltrb_amodal': expected B=3, as in the other outputs, got 6"):
        attach_losses(network, losses, small_recipe)


def test_losses_are_not_attached_twice(small_recipe, losses) -> None:
    once = attach_losses(network_of(small_recipe), losses, small_recipe).model
    with pytest.raises(InputError, match="value 'loss': expected this name free"):
        attach_losses(once, losses, small_recipe)
