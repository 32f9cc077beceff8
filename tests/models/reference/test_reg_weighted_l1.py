import pytest
import torch

from lossrt.models.reference.reg_weighted_l1 import RegWeightedL1Loss
from tests.models import naive
from tests.models.samples import tensors_of
from tests.validators.samples import recipe_of, sample_batch


def test_closed_form() -> None:
    output = torch.tensor([[[[1.0, 5.0]], [[2.0, -3.0]]]], dtype=torch.float64)  # B 1, D 2, H 1, W 2
    ind = torch.tensor([[1, 0]])
    target = torch.tensor([[[4.0, 0.5], [9.0, 9.0]]], dtype=torch.float64)
    mask = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    # Slot 0 reads pixel 1, (5, -3): |5 - 4| + |-3 - 0.5| = 4.5 over two elements.
    assert float(RegWeightedL1Loss()(output, mask, ind, target)) == pytest.approx(4.5 / 2.0001, rel=1e-15)


def test_without_objects_the_loss_is_exactly_0() -> None:
    tensors = tensors_of(sample_batch(recipe_of(), objects=0.0))
    loss = RegWeightedL1Loss()(tensors["pred_reg"], tensors["reg_mask"], tensors["ind"], tensors["reg"])
    assert float(loss) == 0.0


@pytest.mark.parametrize("head", ["reg", "ltrb_amodal"])
def test_against_loops(head: str) -> None:
    arrays = sample_batch(recipe_of(), 5)
    tensors = tensors_of(arrays, torch.float64)
    loss = RegWeightedL1Loss()(tensors[f"pred_{head}"], tensors[f"{head}_mask"], tensors["ind"], tensors[head])
    expected = naive.masked_l1(arrays[f"pred_{head}"], arrays[head], arrays[f"{head}_mask"], arrays["ind"])
    assert float(loss) == pytest.approx(expected, rel=1e-13)
