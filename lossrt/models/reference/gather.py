"""Reading a map at the objects as PyTorch trains it: the whole map is copied to read M pixels.

Source: CenterTrack `src/lib/model/utils.py`.
"""

__all__ = ["transpose_and_gather_feat"]

from jaxtyping import Float, Int64
from torch import Tensor


def transpose_and_gather_feat(feat: Float[Tensor, "B D H W"], ind: Int64[Tensor, "B M"]) -> Float[Tensor, "B M D"]:
    """Return the D values at each indexed pixel, y·W + x, in the map's unit."""
    batch, channels = feat.shape[:2]
    pixels = feat.permute(0, 2, 3, 1).contiguous().view(batch, -1, channels)
    return pixels.gather(1, ind.unsqueeze(2).expand(-1, -1, channels))
