"""The regression losses and the attributes' cross-entropy by hand, on two pixels and two slots."""

import math

import pytest
import torch

from lossrt.models.reference.code_weighted_l1 import ChannelRegLoss
from lossrt.models.reference.depth import depth_from_logits
from lossrt.models.reference.l1 import L1Loss
from lossrt.models.reference.norm_reg_l1 import NormRegL1Loss
from lossrt.models.reference.reg_l1 import RegL1Loss
from lossrt.models.reference.smooth_l1 import RegLoss
from lossrt.models.reference.weighted_bce import WeightedBCELoss

PRED = torch.tensor([[[[1.0, 2.0]], [[3.0, 5.0]]]], dtype=torch.float64)
TARGET = torch.tensor([[[1.5, 8.0], [9.0, 9.0]]], dtype=torch.float64)
MASK = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
IND = torch.tensor([[1, 0]])
MODULES = {"reg_l1": RegL1Loss(), "norm_reg_l1": NormRegL1Loss(), "l1": L1Loss(), "smooth_l1": RegLoss()}
EXPECTED = {
    "reg_l1": 3.5 / 2.0001,
    "norm_reg_l1": (abs(2 / 1.5001 - 1) + abs(5 / 8.0001 - 1)) / 2.0001,
    "l1": 3.5 / 4,
    "smooth_l1": (0.5**2 / 2 + 2.5) / 1.0001,
}


@pytest.mark.parametrize("name", MODULES)
def test_by_hand(name: str) -> None:
    assert float(MODULES[name](PRED, MASK, IND, TARGET)) == pytest.approx(EXPECTED[name], rel=1e-14)
    assert float(MODULES[name](PRED, torch.zeros_like(MASK), IND, TARGET)) == 0.0


def test_each_channel_of_the_box() -> None:
    loss = ChannelRegLoss()(PRED, MASK, IND, TARGET)
    assert loss.tolist() == pytest.approx([0.5 / 1.0001, 3 / 1.0001], rel=1e-14)


def test_attributes() -> None:
    target = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    mask = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(5))) / 2.0001
    assert float(WeightedBCELoss()(PRED, mask, IND, target)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("x", [-12.0, 0.0, 12.0], ids=str)
def test_depth(x: float) -> None:
    logits = torch.full((1, 1, 1, 1), x, dtype=torch.float64)
    assert float(depth_from_logits(logits)) == pytest.approx(1 / (1 / (1 + math.exp(-x)) + 1e-6) - 1, rel=1e-9)
    assert float(logits) == x
