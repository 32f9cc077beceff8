"""One reduction for every sum of a loss.

Each term that a loss adds up becomes an element of a row of M; the rows of all losses are stacked into one matrix and
summed at once. TensorRT then needs three kernels for a whole multi-head loss: the map, the gathers with the sums, the tail.
"""

__all__ = ["map_partials", "map_rows", "partial_sums", "sum_blocks"]

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lossrt.recipe import Recipe

# Adding about this many fp32 terms in a run keeps the error below 1e-7 of the sum; 64 to 1024 is near enough.
RUN = 256
# A map of more rows than this is summed once more: each row is another addition in the tail.
MOST_ROWS = 8
# Up to so many rows are added one by one, which costs no kernel; human pose has 187.
MOST_ADDITIONS = 96


def partial_sums(elements: int) -> int:
    """Return into how many partial sums a map of `elements` values is best split.

    Args:
        elements: C·H·W.

    Returns:
        A divisor of `elements` whose runs are nearest to 256 values; 1 where no run between 64 and 1024 divides.
    """
    runs = [run for run in range(64, 1025) if elements % run == 0]
    if not runs:
        return 1
    return elements // min(runs, key=lambda run: max(run / RUN, RUN / run))


def map_partials(channels: int, recipe: Recipe, dynamic: frozenset[str]) -> int | None:
    """Return into how many partial sums a recipe's map is split; None where the map or the slots are open."""
    height, width = recipe.map_size
    return None if dynamic & {"M", "H", "W"} else partial_sums(channels * height * width)


def map_rows(values: Float[Tensor, "B C H W"], slots: int, partials: int | None) -> Float[Tensor, "B R M"]:
    """Sum a map to partial sums and lay them out in rows of M, padded with zeros.

    Args:
        values: Terms of the sum over the map.
        slots: M, the length of a row; a symbolic integer where M is open.
        partials: Number of partial sums, of which more than 8 rows are summed once more; None where the map's size is
            open: then axis by axis to one.
    """
    if partials is None:
        part = values.sum(-1).sum(-1).sum(-1)[:, None]
    else:
        part = values.reshape(values.shape[0], partials, -1).sum(-1)
        if partials > MOST_ROWS * slots:
            part = part.reshape(values.shape[0], partial_sums(partials), -1).sum(-1)
    rows = 1 if partials is None else -(-part.shape[1] // slots)
    padded = torch.nn.functional.pad(part, (0, rows * slots - part.shape[1]))
    return padded.reshape(values.shape[0], rows, slots)


def sum_blocks(blocks: Sequence[Float[Tensor, "B _ M"]]) -> list[Float[Tensor, "1"]]:
    """Sum each block over everything, all of them in one reduction.

    Args:
        blocks: Terms, each block with its own number of rows.

    Returns:
        One sum a block, of shape [1]: a vector keeps the tail of the graph free of reshapes.
    """
    matrix = torch.cat(list(blocks), dim=1).transpose(0, 1).flatten(1)
    sums = matrix.sum(-1)
    counts = [block.shape[1] for block in blocks]
    totals = (_sums_of_many_rows if sum(counts) > MOST_ADDITIONS else _sums_one_by_one)(sums, counts)
    if not sums.requires_grad:
        return totals
    # One matrix makes every sum ask for a gradient; what only counts has none, and costs nothing then.
    return [total if block.requires_grad else total.detach() for total, block in zip(totals, blocks, strict=True)]


def _sums_one_by_one(sums: Float[Tensor, " K"], counts: Sequence[int]) -> list[Float[Tensor, "1"]]:
    rows = torch.split(sums, 1)
    totals, start = [], 0
    for count in counts:
        total = rows[start]
        for row in rows[start + 1 : start + count]:
            total = total + row
        totals.append(total)
        start += count
    return totals


def _sums_of_many_rows(sums: Float[Tensor, " K"], counts: Sequence[int]) -> list[Float[Tensor, "1"]]:
    """Add up each block's rows in a second, tiny reduction: a tail of hundreds of additions takes a compiler minutes."""
    most = max(counts)
    pieces = [torch.nn.functional.pad(piece, (0, most - len(piece))) for piece in torch.split(sums, list(counts))]
    return list(torch.split(torch.stack(pieces).sum(-1), 1))
