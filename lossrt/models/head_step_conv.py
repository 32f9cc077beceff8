"""A head's 3x3 convolution over the whole map, cheap to run forward and to derive by its weights.

Winograd's minimal filtering F(4x4, 3x3): the map is cut into tiles of 4x4 pixels, each read with its 6x6 neighbourhood,
and the convolution becomes 36 small products instead of 144. The gradient of the weights is the transposed product, at
the same price. Filters and outputs stay in tiles until they are few channels: the wide hidden map never exists as a map.

Source: Lavin & Gray, "Fast algorithms for convolutional neural networks" (arXiv 1509.09308). The points 0, ±3/4, ±3/2
and infinity round a third as much as the usual 0, ±1, ±2, whose powers spread further.
"""

__all__ = [
    "BEFORE",
    "BEHIND",
    "PIXELS",
    "convolved",
    "convolved_exactly",
    "filter_tiles",
    "input_tiles",
    "map_from_tiles",
    "plain_tiles",
]

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

TILE, TAPS = 4, 3
SIDE = TILE + TAPS - 1
PIXELS = TILE * TILE
"""Pixels of a tile."""
BEFORE, BEHIND = 1, 4
"""Zeros that a map needs above and left, and below and right: the last tile may begin at the last pixel."""
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)

Matrix = list[list[float]]


def input_tiles(padded: Float[Tensor, "B F Hp Wp"]) -> Float[Tensor, "36 F N"]:
    """Return the transformed neighbourhoods of all tiles, row of tiles by row, image by image.

    Args:
        padded: The map with `BEFORE` and `BEHIND` zeros around it.
    """
    return _cut(padded, _input_matrix())


def plain_tiles(padded: Float[Tensor, "B F Hp Wp"]) -> Float[Tensor, "36 F N"]:
    """Return the neighbourhoods of all tiles as they are, in the order of `input_tiles`."""
    return _cut(padded, [[float(row == column) for column in range(SIDE)] for row in range(SIDE)])


def _cut(padded: Tensor, matrix: Matrix) -> Tensor:
    batch, features, height, width = padded.shape
    kernel = _matrix(_both_ways(matrix), padded).reshape(SIDE * SIDE, 1, SIDE, SIDE)
    planes = padded.reshape(batch * features, 1, height, width)
    tiles = torch.nn.functional.conv2d(planes, kernel, stride=TILE)
    return tiles.reshape(batch, features, SIDE * SIDE, -1).permute(2, 1, 0, 3).reshape(SIDE * SIDE, features, -1)


def filter_tiles(weight: Float[Tensor, "K F 3 3"]) -> Float[Tensor, "36 K F"]:
    """Return the transformed filters."""
    flat = weight.reshape(-1, TAPS * TAPS)
    across = _matrix(_both_ways(_filter_matrix()), weight)
    return (across @ flat.transpose(0, 1)).reshape(SIDE * SIDE, *weight.shape[:2])


def convolved(tiles: Float[Tensor, "36 F N"], filters: Float[Tensor, "36 K F"]) -> Float[Tensor, "16 K N"]:
    """Return the convolution, pixel of the tile first."""
    products = torch.bmm(filters, tiles)
    back = _matrix(_both_ways(_output_matrix()), filters)
    return (back @ products.reshape(SIDE * SIDE, -1)).reshape(PIXELS, filters.shape[1], -1)


def convolved_exactly(
    tiles: Float[Tensor, "36 F N"], plain: Float[Tensor, "36 F N"], weight: Float[Tensor, "K F 3 3"]
) -> Float[Tensor, "16 K N"]:
    """Return the same convolution, whose weights' gradient is summed pixel by pixel.

    That is four times the work of the transposed product, for a fifth of its rounding error: an optimizer that divides
    each gradient by its own size needs it, since there the smallest gradients count as much as the largest.

    Args:
        tiles: From `input_tiles`.
        plain: From `plain_tiles`.
        weight: The filters.
    """
    result: Tensor = _Exactly.apply(weight, tiles, plain)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return result


class _Exactly(torch.autograd.Function):
    """Forward by tiles; backward, each tap's gradient is the product of the outputs' with what the tap reads."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, weight: Tensor, tiles: Tensor, plain: Tensor) -> Tensor:
        ctx.save_for_backward(plain)
        return convolved(tiles, filter_tiles(weight))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        (plain,) = ctx.saved_tensors  # type: ignore[attr-defined]  # ctx takes any attribute
        outputs, taps = range(TILE), range(TAPS)
        read = [(y + dy) * SIDE + x + dx for y in outputs for x in outputs for dy in taps for dx in taps]
        features = plain.shape[1]
        around = plain.index_select(0, torch.tensor(read, device=plain.device)).reshape(PIXELS, -1, plain.shape[2])
        by_tap = torch.bmm(grads[0], around.transpose(1, 2)).sum(0).reshape(-1, TAPS * TAPS, features)
        return by_tap.transpose(1, 2).reshape(-1, features, TAPS, TAPS), None, None


def map_from_tiles(values: Float[Tensor, "16 D N"], like: Float[Tensor, "B F H W"]) -> Float[Tensor, "B D H W"]:
    """Lay tiles out as a map of the size of `like`."""
    batch, _, height, width = like.shape
    by_image = values.reshape(PIXELS, values.shape[1], batch, -1).permute(2, 1, 0, 3).flatten(2)
    laid_out: Tensor = _LaidOut.apply(by_image, height, width)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return laid_out.reshape(batch, -1, height, width)


class _LaidOut(torch.autograd.Function):
    """[B, D, 16·tiles], pixel of the tile first, → [B, D, H·W], what tiles have beyond the map left out.

    Both ways by picking one element for each: how many rows a slice would cut off depends on the size modulo 4, which
    torch.export cannot keep open, and the gradient of a slice is a scatter.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor, height: int, width: int) -> Tensor:
        ctx.size = height, width  # type: ignore[attr-defined]  # ctx takes any attribute
        y, x = _ranges(height, width, values)
        rows, columns = _tiles(height), _tiles(width)
        pixel = (y % TILE * TILE).unsqueeze(1) + x % TILE
        tile = (y // TILE * columns).unsqueeze(1) + x // TILE
        return values.index_select(2, (pixel * (rows * columns) + tile).flatten())

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        height, width = ctx.size  # type: ignore[attr-defined]
        grad_BDHW = grads[0].reshape(*grads[0].shape[:2], height, width)
        padded = torch.nn.functional.pad(grad_BDHW, (0, TILE, 0, TILE)).flatten(2)
        row, column = _ranges(_tiles(height), _tiles(width), padded)
        below, right = _ranges(TILE, TILE, padded)
        y = below[:, None, None, None] + row[:, None] * TILE
        x = right[:, None, None] + column * TILE
        return padded.index_select(2, (y * (width + TILE) + x).flatten()), None, None


def _tiles(size: int) -> int:
    return (size - 1) // TILE + 1


def _ranges(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    return torch.arange(height, device=like.device), torch.arange(width, device=like.device)


def _input_matrix() -> Matrix:
    """One row a point: the polynomial that is zero at all other points, then the one that is zero at all."""
    others = [[other for other in POINTS if other != point] for point in POINTS]
    return [[*_polynomial(roots), 0.0] for roots in others] + [_polynomial(POINTS)]


def _filter_matrix() -> Matrix:
    """One row a point: its powers over its distances from the others; the last row is infinity's."""
    rows = []
    for point in POINTS:
        distances = math.prod(point - other for other in POINTS if other != point)
        rows.append([point**power / distances for power in range(TAPS)])
    return [*rows, [0.0] * (TAPS - 1) + [1.0]]


def _output_matrix() -> Matrix:
    """One row an output: its power of every point, and infinity for the last."""
    return [[point**power for point in POINTS] + [float(power == TILE - 1)] for power in range(TILE)]


def _polynomial(roots: Sequence[float]) -> list[float]:
    """Return the coefficients of Π (x − root), the constant first."""
    coefficients = [1.0]
    for root in roots:
        shifted, scaled = [0.0, *coefficients], [*(-root * value for value in coefficients), 0.0]
        coefficients = [above + below for above, below in zip(shifted, scaled, strict=True)]
    return coefficients


def _both_ways(matrix: Matrix) -> Matrix:
    """Return the Kronecker square: the transform along rows and columns at once."""
    return [[a * b for a in upper for b in lower] for upper in matrix for lower in matrix]


def _matrix(values: Matrix, like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
