"""PyTorch's own ways to compute a graph, as calls to be timed beside the exported one."""

__all__ = ["pytorch_calls"]

from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from lossrt.models.reference.wire import REFERENCES
from lossrt.recipe import Recipe


def pytorch_calls(
    graph: str, recipe: Recipe, arrays: Mapping[str, NDArray[Any]], *, threads: int
) -> dict[str, Callable[[], object]]:
    """Return the reference in eager mode and through torch.compile, on the same arrays.

    Args:
        graph: Graph name.
        recipe: The recipe.
        arrays: Inputs by wire name.
        threads: Threads that PyTorch may use; set for the whole process.

    Returns:
        Calls by name: `torch eager` and `torch.compile`; the compiler runs at the first call.
    """
    torch.set_num_threads(threads)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    reference = REFERENCES[graph]

    def eager() -> object:
        with torch.no_grad():
            return reference(recipe, tensors)

    compiled = torch.compile(lambda given: reference(recipe, given))

    def after_compile() -> object:
        with torch.no_grad():
            return compiled(tensors)

    return {"torch eager": eager, "torch.compile": after_compile}
