"""The floor under every contender: the bytes that must be read, at the speed at which this machine copies that many.

The copy is timed in the same rounds as the contenders, so that caches are as warm for it as for them.
"""

__all__ = ["bytes_read", "device_copy", "host_copy"]

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, LossKind, Recipe
from lossrt.spec import GraphSpec, TensorSpec, dim_sizes, resolve

WHOLE_MAPS: frozenset[LossKind] = frozenset({"fast_focal", "focal"})
"""Losses that look at every pixel; the others read a map at the objects alone."""


def bytes_read(spec: GraphSpec, recipe: Recipe | None, arrays: Mapping[str, NDArray[Any]]) -> int:
    """Return the least number of bytes that any way to compute a graph has to read.

    A prediction that is only gathered counts with its objects' slots; everything else with all its elements.

    Args:
        spec: The graph's signature.
        recipe: Says which heads are only gathered; None counts every input whole.
        arrays: The graph's inputs.
    """
    sizes = dim_sizes(spec, arrays)
    total = 0
    for tensor in spec.inputs:
        array = arrays[tensor.name]
        head = _gathered_head(tensor, recipe)
        count = array.size
        if head is not None and array.ndim == 4:
            count = min(count, array.shape[0] * array.shape[1] * int(resolve(HEADS[head].slots, sizes)))
        total += count * array.itemsize
    return total


def host_copy(size: int) -> Callable[[], None]:
    """Return a call that copies `size` bytes in the host's memory, with one thread."""
    source, place = np.ones(size, dtype=np.uint8), np.empty(size, dtype=np.uint8)

    def copy() -> None:
        np.copyto(place, source)

    return copy


def device_copy(size: int) -> Callable[[], None]:
    """Return a call that copies `size` bytes in the GPU's memory and waits for it.

    Raises:
        BackendError: polygraphy or the CUDA runtime is missing, or the GPU has no room.
    """
    from lossrt.runtime.trt import CudaMemory

    memory = CudaMemory()
    cuda = importlib.import_module("polygraphy.cuda")
    api, kind = cuda.wrapper(), cuda.MemcpyKind.DeviceToDevice
    source, place = memory.allocate(size), memory.allocate(size)

    def copy() -> None:
        api.memcpy(place, source, size, kind, memory.stream)
        memory.synchronize()

    return copy


def _gathered_head(tensor: TensorSpec, recipe: Recipe | None) -> str | None:
    """Return the head that a prediction is gathered for; None where it is read whole, or is no prediction."""
    head = tensor.name.removeprefix("pred_").partition("_stack")[0]
    if tensor.role != "prediction" or recipe is None or head not in recipe.heads:
        return None
    return None if recipe.loss_kind(head) in WHOLE_MAPS else head
