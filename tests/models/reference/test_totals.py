"""The totals of CenterTrack's relatives, called as upstream calls them."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lossrt.errors import InputError
from lossrt.models.reference.center_head import CenterHeadLoss
from lossrt.models.reference.ctdet import CtdetLoss
from lossrt.models.reference.generic import GenericLoss
from lossrt.models.reference.mot import MotLoss
from lossrt.models.reference.wire import REFERENCES
from lossrt.recipe import Recipe, prediction_name
from tests.models.samples import tensors_of
from tests.validators.batches import FAMILY, random_batch


def called(module: type[nn.Module], recipe: Recipe) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return the batch, and the total and losses that upstream's call gives; the wire gives the same."""
    tensors = tensors_of(random_batch(recipe, 1), torch.float64)
    outputs = [
        {head: tensors[prediction_name(head, stack)] for head in recipe.heads} for stack in range(recipe.num_stacks)
    ]
    total, losses = module(recipe)(outputs, tensors)
    wire = REFERENCES["generic_loss"](recipe, tensors)
    assert float(wire["loss"]) == float(total)
    assert list(wire) == ["loss", *(f"loss_{head}" for head in losses)]
    return tensors, {head: float(loss) for head, loss in losses.items() if loss.dim() == 0} | {"": float(total)}


def weighted(recipe: Recipe, losses: dict[str, float], *heads: str) -> float:
    return math.fsum(recipe.weights[head] * losses[head] for head in heads)


def test_centertrack_sums_every_head() -> None:
    recipe = FAMILY["ddd-two-stacks"]
    _, losses = called(GenericLoss, recipe)
    assert losses.pop("") == pytest.approx(weighted(recipe, losses, *recipe.heads), rel=1e-14)
    assert list(losses) == list(recipe.heads)


def test_hp_offset_counts_only_with_hm_hp() -> None:
    pose = FAMILY["pose"]
    recipe = pose.model_copy(update={"weights": pose.weights | {"hm_hp": 0.0}})
    _, losses = called(GenericLoss, recipe)
    assert losses["hp_offset"] == 0


@pytest.mark.parametrize("name", ["ctdet", "ctdet-applied", "ctdet-norm-wh"])
def test_centernet(name: str) -> None:
    _, losses = called(CtdetLoss, FAMILY[name])
    assert losses[""] == pytest.approx(weighted(FAMILY[name], losses, "hm", "wh", "reg"), rel=1e-14)


@pytest.mark.parametrize("name", ["fairmot", "fairmot-two-stacks", "fairmot-id-removed"])
def test_fairmot(name: str) -> None:
    recipe = FAMILY[name]
    tensors, losses = called(MotLoss, recipe)
    s_det, s_id = float(tensors["s_det"]), float(tensors["s_id"])
    detection = math.exp(-s_det) * weighted(recipe, losses, "hm", "reg", "wh")
    identity = math.exp(-s_id) * (weighted(recipe, losses, "id") if "id" in losses else 0)
    assert losses[""] == pytest.approx((detection + identity + s_det + s_id) / 2, rel=1e-14)


def test_fairmots_uncertainties_learn() -> None:
    recipe = FAMILY["fairmot"]
    tensors = tensors_of(random_batch(recipe, 1), torch.float64)
    tensors["s_det"].requires_grad_(True)
    losses = REFERENCES["generic_loss"](recipe, tensors)
    (slope,) = torch.autograd.grad(losses["loss"], tensors["s_det"])
    detection = sum(recipe.weights[head] * losses[f"loss_{head}"] for head in ("hm", "reg", "wh"))
    expected = (1 - torch.exp(-tensors["s_det"]) * detection) / 2
    assert float(slope) == pytest.approx(expected.item(), rel=1e-13)


@pytest.mark.parametrize("name", ["centerpoint", "centerpoint-two-stacks"])
def test_centerpoint(name: str) -> None:
    recipe = FAMILY[name]
    tensors, losses = called(CenterHeadLoss, recipe)
    assert losses[""] == pytest.approx(weighted(recipe, losses, "hm", "anno_box"), rel=1e-14)
    dims = REFERENCES["generic_loss"](recipe, tensors)["loss_anno_box_dims"].tolist()
    assert losses["anno_box"] == pytest.approx(sum(np.multiply(recipe.code_weights, dims)), rel=1e-14)


def test_the_graph_of_regressions_prefers_reg() -> None:
    heads = {"hm": 3, "tracking": 2, "reg": 2}
    recipe = FAMILY["ddd"].model_copy(update={"heads": heads, "weights": dict.fromkeys(heads, 1.0)})
    tensors = tensors_of(random_batch(recipe), torch.float64)
    losses = REFERENCES["generic_loss"](recipe, tensors)
    assert float(REFERENCES["reg_weighted_l1"](recipe, tensors)["loss"]) == float(losses["loss_reg"])


def test_a_graph_of_a_loss_that_no_head_has_is_refused() -> None:
    with pytest.raises(InputError, match="graph 'identity': no head of recipe 'small' has this loss"):
        REFERENCES["identity"](FAMILY["ctdet"], {})


@pytest.mark.parametrize("name", FAMILY)
def test_inputs_stay_as_they_are(name: str) -> None:
    tensors = tensors_of(random_batch(FAMILY[name]))
    before = {key: tensor.clone() for key, tensor in tensors.items()}
    REFERENCES["generic_loss"](FAMILY[name], tensors)
    for key, tensor in tensors.items():
        assert torch.equal(tensor, before[key]), key
        assert tensor._version == 0, f"{key}: written in place"
