"""Gradients at the places where a formula that gives the right value gives a wrong slope."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lossrt.models import GRAPHS
from lossrt.models.gradients import gradient_spec
from lossrt.models.reference.wire import REFERENCES
from lossrt.recipe import Recipe
from tests.models.samples import tensors_of
from tests.validators.batches import FAMILY, random_batch

GRAPH = "generic_loss_grad"
Arrays = dict[str, NDArray[Any]]


def assert_as_upstream(recipe: Recipe, arrays: Arrays) -> dict[str, NDArray[np.float64]]:
    """Compare the gradients with the reference's in float64, and return them."""
    ours = GRAPHS[GRAPH].module(recipe, frozenset())(tensors_of(arrays, torch.float64))
    theirs = REFERENCES[GRAPH](recipe, tensors_of(arrays, torch.float64))
    assert list(ours) == list(theirs)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-9, atol=1e-12, equal_nan=True, msg=name)
    return {name: value.numpy() for name, value in ours.items() if name.startswith("grad_")}


@pytest.mark.parametrize("name", FAMILY)
def test_a_network_that_says_0_everywhere(name: str) -> None:
    recipe = FAMILY[name]
    arrays = random_batch(recipe, 2)
    for key in arrays:
        if key.startswith("pred_") and not recipe.is_applied("hm"):
            arrays[key][:] = 0
    gradients = assert_as_upstream(recipe, arrays)
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


@pytest.mark.parametrize(("name", "head"), [("ddd", "nuscenes_att"), ("ddd", "rot")])
def test_a_logit_of_0_is_pulled_to_its_target(name: str, head: str) -> None:
    recipe = FAMILY[name]
    arrays = random_batch(recipe, 2, objects=1.0)
    arrays[f"pred_{head}"][:] = 0
    assert np.abs(assert_as_upstream(recipe, arrays)[f"grad_pred_{head}"]).max() > 0


def test_residuals_of_0_have_no_slope() -> None:
    recipe = FAMILY["ctdet"]
    arrays = random_batch(recipe, 2, objects=1.0)
    arrays["pred_reg"][:], arrays["reg"][:] = 2.5, 2.5
    assert not assert_as_upstream(recipe, arrays)["grad_pred_reg"].any()


@pytest.mark.parametrize(
    ("name", "head", "channels"), [("fairmot", "id", slice(None)), ("ddd", "rot", slice(6, 8))], ids=["identity", "bin"]
)
def test_nan_where_a_slot_is_not_selected_does_not_matter(name: str, head: str, channels: slice) -> None:
    recipe = FAMILY[name]
    arrays = random_batch(recipe, 2)
    first, rest = np.zeros((1,), dtype=np.int64), slice(1, None)
    arrays["ind"][:, 0], arrays["ind"][:, rest] = 0, np.clip(arrays["ind"][:, rest], 1, None)
    if head == "id":
        arrays["mask"][:, first] = 0
    else:
        arrays["rotbin"][:, first, 1] = 0
    arrays[f"pred_{head}"][:, channels, 0, 0] = np.nan
    gradient = assert_as_upstream(recipe, arrays)[f"grad_pred_{head}"]
    assert not gradient[:, channels, 0, 0].any()


def test_a_zero_embedding() -> None:
    recipe = FAMILY["fairmot"]
    arrays = random_batch(recipe, 2, objects=1.0)
    arrays["pred_id"][0] = 0
    assert np.isfinite(assert_as_upstream(recipe, arrays)["grad_pred_id"]).all()


def test_no_identity_at_all() -> None:
    recipe = FAMILY["fairmot"]
    arrays = random_batch(recipe, 2)
    arrays["ids"][:] = -1
    gradients = assert_as_upstream(recipe, arrays)
    assert not gradients["grad_pred_id"].any()
    assert np.isfinite(gradients["grad_pred_hm"]).all()


def test_the_signature_adds_a_gradient_a_prediction() -> None:
    recipe = FAMILY["pose-applied"]
    spec, loss = gradient_spec(recipe), GRAPHS["generic_loss"].spec(recipe)
    assert spec.inputs == loss.inputs
    assert spec.outputs[: len(loss.outputs)] == loss.outputs
    added = {output.name: output.dims for output in spec.outputs[len(loss.outputs) :]}
    assert added == {f"grad_{t.name}": t.dims for t in loss.inputs if t.role == "prediction"}
