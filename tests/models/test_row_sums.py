import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossrt.models.row_sums import MOST_ADDITIONS, MOST_ROWS, RUN, map_rows, partial_sums, sum_blocks


@given(st.integers(1, 2_000_000))
def test_partial_sums_divide_into_runs_of_a_useful_length(elements: int) -> None:
    partials = partial_sums(elements)
    assert elements % partials == 0
    run = elements // partials
    assert partials == 1 or 64 <= run <= 1024


@given(st.integers(1, 20_000))
def test_no_other_divisor_is_nearer(elements: int) -> None:
    far = [max(run / RUN, RUN / run) for run in range(64, 1025) if elements % run == 0]
    run = elements // partial_sums(elements)
    assert not far or max(run / RUN, RUN / run) == min(far)


@pytest.mark.parametrize(
    ("elements", "partials"),
    [(136 * 240, 128), (128 * 128, 64), (80 * 128 * 128, 5120), (34 * 60, 8), (1, 1), (2039, 1)],
    ids=["mot17", "crowdhuman", "coco", "small", "one-pixel", "prime"],
)
def test_partial_sums_of_known_maps(elements: int, partials: int) -> None:
    assert partial_sums(elements) == partials


@given(
    batch=st.integers(1, 3),
    run=st.integers(1, 5),
    partials=st.integers(1, 9),
    slots=st.integers(1, 7),
    fixed=st.booleans(),
)
def test_rows_hold_the_whole_map_and_nothing_else(batch: int, run: int, partials: int, slots: int, fixed: bool) -> None:
    values = torch.arange(1, batch * run * partials + 1, dtype=torch.float64).view(batch, 1, run, partials)
    rows = map_rows(values, slots, partials if fixed else None)
    if fixed and partials > MOST_ROWS * slots:
        partials = 1  # summed once more, and nine partial sums have no run of 64 or more
    assert rows.shape == (batch, -(-partials // slots) if fixed else 1, slots)
    assert rows.sum((1, 2)).tolist() == values.sum((1, 2, 3)).tolist()
    assert int((rows != 0).sum()) == batch * (partials if fixed else 1)


@given(rows=st.lists(st.integers(1, 4), min_size=1, max_size=5), batch=st.integers(1, 3), slots=st.integers(1, 6))
def test_every_block_gets_its_own_sum(rows: list[int], batch: int, slots: int) -> None:
    rng = np.random.default_rng(0)
    blocks = [torch.from_numpy(rng.integers(-99, 99, (batch, count, slots)).astype(np.float64)) for count in rows]
    sums = sum_blocks(blocks)
    assert [tuple(total.shape) for total in sums] == [(1,)] * len(rows)
    assert [float(total) for total in sums] == [float(block.sum()) for block in blocks]


def test_many_rows_are_added_in_a_second_reduction() -> None:
    rng = np.random.default_rng(0)
    counts = [1, MOST_ADDITIONS, 7]
    blocks = [torch.from_numpy(rng.integers(-99, 99, (2, count, 5)).astype(np.float64)) for count in counts]
    sums = sum_blocks(blocks)
    assert [tuple(total.shape) for total in sums] == [(1,)] * 3
    assert [float(total) for total in sums] == [float(block.sum()) for block in blocks]
