import math

import pytest
import torch

from lossrt.models.reference.identity import IdentityLoss

WEIGHT = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]], dtype=torch.float64)
BIAS = torch.tensor([0.1, -0.2, 0.0], dtype=torch.float64)
PRED = torch.tensor([[[[3.0, math.nan]], [[4.0, 1.0]]]], dtype=torch.float64)
IND = torch.tensor([[0, 1]])


def loss(ids: list[int], mask: list[float]) -> float:
    known = torch.tensor([mask], dtype=torch.float64)
    return float(IdentityLoss()(PRED, known, IND, torch.tensor([ids]), WEIGHT, BIAS))


@pytest.mark.parametrize(("ids", "mask"), [([2, 0], [1, 0]), ([2, -1], [1, 1])], ids=["no-object", "no-identity"])
def test_by_hand_and_only_over_objects_with_an_identity(ids: list[int], mask: list[float]) -> None:
    length = math.sqrt(2) * math.log(2)
    logits = [0.6 * length + 0.1, 0.8 * length - 0.2, (-0.6 + 1.6) * length]
    expected = math.log(sum(math.exp(x) for x in logits)) - logits[2]
    assert loss(ids, mask) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(("ids", "mask"), [([-1, 0], [1, 0]), ([0, 0], [0, 0])], ids=["no-identity", "no-object"])
def test_a_mean_over_nothing_is_nan(ids: list[int], mask: list[float]) -> None:
    assert math.isnan(loss(ids, mask))
