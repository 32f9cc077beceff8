"""The heatmap's peaks: how wide each is, and how it is drawn.

Source: CenterTrack `src/lib/utils/image.py` (`gaussian_radius`, `draw_umich_gaussian`), from CornerNet (Law & Deng,
arXiv 1808.01244, section 3.2).
"""

__all__ = ["draw_peak", "gaussian_radius", "shift_root"]

import numpy as np
from numpy.typing import NDArray

OVERLAP = 0.7


def shift_root(heights: NDArray[np.floating], widths: NDArray[np.floating], *, overlap: float) -> NDArray[np.float64]:
    """Return how far a box may shift and still overlap by `overlap` with the annotated one, before it is made whole.

    Upstream takes the smallest of three roots (b + √(b² − 4ac))/2, one for each way to shift the corners. The first
    two are at least (h + w)/2 and the third at most (√overlap − overlap)·(h + w), which is at most (h + w)/4, so only
    the third is computed. It is halved, not divided by 2a, because CornerNet's published code is so and every network
    since was trained with it.

    Args:
        heights: [N] box heights, px of the output map.
        widths: [N] box widths, likewise.
        overlap: Intersection over union, in (0, 1).

    Returns:
        [N] float64, px, at least 0.
    """
    height, width = heights.astype(np.float64), widths.astype(np.float64)
    a = 4 * overlap
    b = -2 * overlap * (height + width)
    c = (overlap - 1) * width * height
    root: NDArray[np.float64] = (b + np.sqrt(b**2 - 4 * a * c)) / 2
    return root


def gaussian_radius(heights: NDArray[np.floating], widths: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the radius of a box's peak: how far it may shift and still overlap by 0.7.

    Args:
        heights: [N] box heights, px of the output map; rounded up here.
        widths: [N] box widths, likewise.

    Returns:
        [N] int64 radii, px, at least 0.
    """
    return shift_root(np.ceil(heights), np.ceil(widths), overlap=OVERLAP).astype(np.int64)


def draw_peak(heatmap: NDArray[np.float32], column: int, row: int, radius: int) -> None:
    """Raise the heatmap to a gaussian around one cell, keeping what is higher already.

    The standard deviation is (2·radius + 1)/6, so the window's corner is e⁻⁹ or more: upstream's cut at the type's
    epsilon never bites and is left out.

    Args:
        heatmap: [H, W] float32, changed in place; exactly 1 at the cell afterwards.
        column: x of the cell, px; inside the map.
        row: y of the cell, px; inside the map.
        radius: Half the window, px; the window is cut at the map's border.
    """
    height, width = heatmap.shape
    left, right = max(column - radius, 0), min(column + radius + 1, width)
    top, bottom = max(row - radius, 0), min(row + radius + 1, height)
    dx = np.arange(left - column, right - column, dtype=np.float64)
    dy = np.arange(top - row, bottom - row, dtype=np.float64)[:, None]
    sigma = (2 * radius + 1) / 6
    peak = np.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma)).astype(np.float32)
    window = heatmap[top:bottom, left:right]
    np.maximum(window, peak, out=window)
