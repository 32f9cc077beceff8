import math

import pytest
import torch

from lossrt.models.reference.bin_rot import BinRotLoss

ROWS = [[1.0, -1.0, 0.5, 0.2, 0.3, 2.0, -3.0, 0.1], [4.0, 0.0, 2.0, 2.0, -1.0, 1.0, 0.0, 0.0]]
PRED = torch.tensor(ROWS, dtype=torch.float64).T.reshape(1, 8, 1, 2)
IND = torch.tensor([[0, 1]])


def loss(mask: list[float], bins: list[list[int]], angles: list[list[float]], pred: torch.Tensor = PRED) -> float:
    known, wanted = torch.tensor([mask], dtype=torch.float64), torch.tensor([angles], dtype=torch.float64)
    return float(BinRotLoss()(pred, known, IND, torch.tensor([bins]), wanted))


def smooth(distance: float) -> float:
    return distance**2 / 2 if abs(distance) < 1 else abs(distance) - 0.5


def test_by_hand() -> None:
    # Bin 0 holds row 0 only, bin 1 no row; a two-way cross-entropy is log(1 + e^(other − target)).
    classes = [math.log1p(math.exp(2)), math.log1p(math.exp(-4)), math.log1p(math.exp(1.7)), math.log1p(math.exp(2))]
    residual = smooth(0.5 - math.sin(0.3)) + smooth(0.2 - math.cos(0.3))
    found = loss([1, 1], [[1, 0], [0, 0]], [[0.3, 9.0], [9.0, 9.0]])
    assert found == pytest.approx(sum(classes) / 2 + residual, rel=1e-14)


def test_empty_slots_add_ln_2_a_bin() -> None:
    assert loss([0, 0], [[0, 0]] * 2, [[0.0, 0.0]] * 2) == pytest.approx(2 * math.log(2), rel=1e-15)


@pytest.mark.parametrize("field", range(8))
def test_rows_outside_a_bin_are_not_read_for_its_residual(field: int) -> None:
    pred = PRED.clone()
    pred[0, field, 0, 1] = math.nan
    assert math.isnan(loss([1, 0], [[1, 1], [0, 0]], [[0.1, 0.1]] * 2, pred)) == (field in {0, 1, 4, 5})
    assert math.isnan(loss([1, 0], [[1, 1], [1, 1]], [[0.1, 0.1]] * 2, pred))
