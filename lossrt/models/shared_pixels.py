"""Add up what slots that share a pixel give it, in operators that every runtime takes and that give one result.

A scatter that adds is refused by TensorRT for RTX, and its order is nobody's on a GPU. Here every slot gets the sum over
its pixel first; a plain scatter then writes equal values to a pixel, in whatever order.
"""

__all__ = ["map_from_slots", "sum_by_pixel"]

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def map_from_slots(
    values: Float[Tensor, "B D S"], ind: Int64[Tensor, "B S"], pixels: int
) -> Float[Tensor, "B D {pixels}"]:
    """Return a map of zeros with every slot's values added at its pixel.

    Args:
        values: What each slot adds to each channel.
        ind: Pixel of each slot.
        pixels: Length of the flat map.
    """
    batch, channels = values.shape[:2]
    index_BDS = ind.unsqueeze(1).expand(-1, channels, -1)
    return values.new_zeros(batch, channels, pixels).scatter(2, index_BDS, sum_by_pixel(values, ind))


@torch.library.custom_op("lossrt::sum_by_pixel", mutates_args=())
def sum_by_pixel(values: Tensor, ind: Tensor) -> Tensor:
    """Return for each slot the sum over all slots with the same index.

    Each slot knows the next one at its pixel. In log2(S) rounds every slot adds what the slot at the end of its chain has
    collected, and the chain doubles: S·log S additions, where a table of equal indices takes S².

    Shapes:
        values  [B, D, S]  float
        ind     [B, S]     int64
        return  [B, D, S]  float
    """
    slots = ind.shape[1]
    if slots == 0:
        return values.clone()
    equal_BSS = ind.unsqueeze(2) == ind.unsqueeze(1)
    place = torch.arange(slots, device=ind.device)
    later = place.unsqueeze(0) > place.unsqueeze(1)
    following = torch.where(equal_BSS & later, place, slots).amin(-1)
    first = torch.where(equal_BSS, place, slots).amin(-1)
    # Slot S holds zeros and follows itself: the end of every chain.
    chain = torch.nn.functional.pad(following, (0, 1), value=slots)
    total = torch.nn.functional.pad(values, (0, 1))
    for _ in range((slots - 1).bit_length()):
        total = total + _taken(total, chain)
        chain = chain.gather(1, chain)
    return _taken(total, first)


@sum_by_pixel.register_fake
def _(values: Tensor, ind: Tensor) -> Tensor:
    del ind
    return values.new_empty(values.shape)


def _taken(values_BDS: Tensor, place_BN: Tensor) -> Tensor:
    return values_BDS.gather(2, place_BN.unsqueeze(1).expand(-1, values_BDS.shape[1], -1))
