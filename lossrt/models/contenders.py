"""PyTorch's own ways to compute a graph, as calls to be timed beside the exported one."""

__all__ = ["pytorch_calls", "pytorch_devices"]

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from numpy.typing import NDArray

from lossrt.models.reference.wire import REFERENCES
from lossrt.recipe import Recipe

Device = Literal["cpu", "cuda"]


def pytorch_devices() -> tuple[Device, ...]:
    """Return where PyTorch can compute here."""
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def pytorch_calls(
    graph: str, recipe: Recipe, arrays: Mapping[str, NDArray[Any]], *, threads: int, device: Device = "cpu"
) -> dict[str, Callable[[], object]]:
    """Return the reference in eager mode and through torch.compile, on the same arrays.

    Args:
        graph: Graph name; nothing is returned for one that has no reference to time.
        recipe: The recipe.
        arrays: Inputs by wire name, float32 where they are floats.
        threads: Threads that PyTorch may use; set for the whole process, as is float32 without TF32's rounding.
        device: Where it computes.

    Returns:
        Calls by name: `torch eager` and `torch.compile`, with `, cuda` there; the compiler runs at the first call.
    """
    if graph not in REFERENCES:
        return {}
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    reference = REFERENCES[graph]
    compiled = torch.compile(lambda given: reference(recipe, given))

    def finished(result: object) -> object:
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    def eager() -> object:
        with torch.no_grad():
            return finished(reference(recipe, tensors))

    def after_compile() -> object:
        with torch.no_grad():
            return finished(compiled(tensors))

    more = ", cuda" if device == "cuda" else ""
    return {f"torch eager{more}": eager, f"torch.compile{more}": after_compile}
