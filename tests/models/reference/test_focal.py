import math

import pytest
import torch

from lossrt.models.reference.focal import FocalLoss

P = torch.tensor([[[[0.25, 0.5, 0.9]]]], dtype=torch.float64)


def loss(*target: float) -> float:
    return float(FocalLoss()(P, torch.tensor([[[target]]], dtype=torch.float64)))


def test_by_hand() -> None:
    negative = math.log(0.5) * 0.5**2 * 0.5**4 + math.log(0.1) * 0.9**2
    assert loss(1.0, 0.5, 0.0) == pytest.approx(-(math.log(0.25) * 0.75**2 + negative), rel=1e-14)


def test_divided_by_the_pixels_at_1() -> None:
    positive = math.log(0.25) * 0.75**2 + math.log(0.5) * 0.5**2
    assert loss(1.0, 1.0, 0.0) == pytest.approx(-(positive + math.log(0.1) * 0.9**2) / 2, rel=1e-14)


def test_without_a_pixel_at_1_the_sum_is_not_divided() -> None:
    assert loss(0.5, 0.5, 0.5) == pytest.approx(
        -sum(math.log(1 - p) * p**2 * 0.5**4 for p in (0.25, 0.5, 0.9)), rel=1e-14
    )
