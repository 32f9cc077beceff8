"""Adding up by pixel against a loop, and the gradients it gives against PyTorch's own scatter that adds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossrt.models.gather import gather_by_channel, gather_feat
from lossrt.models.shared_pixels import map_from_slots, sum_by_pixel


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 5), st.integers(1, 12))
def test_every_slot_gets_the_sum_over_its_pixel(seed: int, slots: int, channels: int, pixels: int) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers: their sums are exact in any order.
    values = torch.from_numpy(rng.integers(-99, 99, (2, channels, slots)).astype(np.float64))
    ind = torch.from_numpy(rng.integers(0, pixels, (2, slots)))
    summed = sum_by_pixel(values, ind)
    for image, channel, slot in np.ndindex(2, channels, slots):
        wanted = sum(
            float(values[image, channel, other]) for other in range(slots) if ind[image, other] == ind[image, slot]
        )
        assert float(summed[image, channel, slot]) == wanted


def test_it_is_the_same_whatever_the_order_of_a_run() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (1, 2, 100)).astype(np.float32))
    ind = torch.zeros(1, 100, dtype=torch.int64)
    summed = sum_by_pixel(values, ind)
    assert (summed == summed[:, :, :1]).all(), "slots of one pixel write one value"


@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=["nan", "inf"])
def test_a_value_that_is_not_finite_stays_at_its_pixel(bad: float) -> None:
    values = torch.ones(1, 1, 5)
    values[0, 0, 3] = bad
    summed = sum_by_pixel(values, torch.tensor([[4, 2, 4, 7, 7]]))
    assert summed[0, 0, :3].tolist() == [2, 1, 2]
    assert not summed[0, 0, 3:].isfinite().any()


def test_no_slots() -> None:
    assert sum_by_pixel(torch.zeros(2, 3, 0), torch.zeros(2, 0, dtype=torch.int64)).shape == (2, 3, 0)


def test_opcheck() -> None:
    torch.library.opcheck(sum_by_pixel, (torch.rand(2, 3, 4), torch.tensor([[0, 1, 1, 0], [5, 5, 5, 5]])))


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 6))
def test_a_map_is_what_a_scatter_that_adds_makes(seed: int, slots: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(rng.integers(-99, 99, (2, channels, slots)).astype(np.float64))
    ind = torch.from_numpy(rng.integers(0, 10, (2, slots)))
    wanted = torch.zeros(2, channels, 10, dtype=torch.float64)
    wanted.scatter_add_(2, ind.unsqueeze(1).expand(-1, channels, -1), values)
    assert torch.equal(map_from_slots(values, ind, 10), wanted)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channel_by_channel_gives_the_same_values_and_gradients(channels: int) -> None:
    rng = np.random.default_rng(channels)
    ind = torch.from_numpy(rng.integers(0, 20, (2, 9)))
    weight = torch.from_numpy(rng.normal(0, 1, (2, channels, 9)))
    results = []
    for gather in (lambda feat: gather_by_channel(feat, ind), lambda feat: gather_feat(feat, ind).transpose(1, 2)):
        feat = torch.from_numpy(np.random.default_rng(1).normal(0, 1, (2, channels, 4, 5))).requires_grad_()
        rows = gather(feat)
        (rows * weight).sum().backward()
        results.append((rows.detach(), feat.grad))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
    torch.autograd.gradcheck(
        gather_by_channel, (torch.rand(2, channels, 4, 5, dtype=torch.float64, requires_grad=True), ind)
    )
