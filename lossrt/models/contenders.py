"""PyTorch's own ways to compute a graph, as calls to be timed beside the exported one."""

__all__ = ["pytorch_calls", "pytorch_devices"]

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from lossrt.models.reference.head_step import TrainedHeads, optimizer_of
from lossrt.models.reference.wire import REFERENCES
from lossrt.recipe import Finetune, Recipe, StepOptimizer

Device = Literal["cpu", "cuda"]
STEP = "head_step_"


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
        Calls by name: `torch eager` and `torch.compile`, with `, dense` for a training step, whose gradients they take
        over whole maps, and with `, cuda` there; the compiler runs at the first call.
    """
    step = graph.startswith(STEP)
    if graph not in REFERENCES and not step:
        return {}
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    forms = _steps(graph, recipe, tensors) if step else _references(graph, recipe, tensors)

    def finished(result: object) -> object:
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    more = ", cuda" if device == "cuda" else ""
    return {f"{name}{more}": partial(_then, form, finished) for name, form in forms.items()}


def _then(form: Callable[[], object], finished: Callable[[object], object]) -> object:
    return finished(form())


def _references(graph: str, recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Callable[[], object]]:
    reference = REFERENCES[graph]
    compiled = torch.compile(lambda given: reference(recipe, given))

    def eager() -> object:
        with torch.no_grad():
            return reference(recipe, tensors)

    def after_compile() -> object:
        with torch.no_grad():
            return compiled(tensors)

    return {"torch eager": eager, "torch.compile": after_compile}


def _steps(graph: str, recipe: Recipe, tensors: Mapping[str, Tensor]) -> dict[str, Callable[[], object]]:
    """Return a training step as PyTorch does it, dense in every head; each call is one more step."""
    optimizer: StepOptimizer = "adamw" if graph.endswith("_adamw") else "sgd"
    table = recipe.finetune or Finetune()
    given = {name.removeprefix("param_"): value for name, value in tensors.items() if name.startswith("param_")}
    batch = _dense_hidden(tensors)

    def trained(compile_too: bool) -> Callable[[], object]:
        heads = TrainedHeads(recipe, given)
        stepper = optimizer_of(heads, optimizer, table, lr=float(tensors["lr"]))
        losses = torch.compile(heads) if compile_too else heads

        def step() -> object:
            stepper.zero_grad(set_to_none=True)
            losses(batch)["loss"].backward()
            if table.clip_norm:
                torch.nn.utils.clip_grad_norm_(heads.parameters(), table.clip_norm)
            stepper.step()
            return None

        return step

    return {"torch eager, dense": trained(False), "torch.compile, dense": trained(True)}


def _dense_hidden(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a step's inputs with every hidden map whole, as a network computes it, where some are gathered."""
    whole = [tensor for name, tensor in tensors.items() if name.startswith("hidden_") and tensor.ndim == 4]
    batch = dict(tensors)
    for name, tensor in tensors.items():
        if name.startswith("hidden_") and tensor.ndim == 3:
            batch[name] = torch.randn(*tensor.shape[:2], *whole[0].shape[2:], device=tensor.device).relu()
    return batch
