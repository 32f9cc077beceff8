"""A user's own loss, loaded from a Python file: `my_losses.py:MyGraph`."""

__all__ = ["UserGraph", "load_user_graph"]

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lossrt.errors import InputError
from lossrt.export.random_inputs import random_case
from lossrt.export.user_spec import check_constants, check_spec
from lossrt.spec import Estimate, GraphSpec, dim_sizes, resolved_shape

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class UserGraph:
    """A loss that is not ours.

    Attributes:
        spec: Its signature, the class's `SPEC`.
        module: The class, instantiated; takes and returns named tensors.
        oracle: Its float64 oracle; its own float64 run where the class has none.
        own_oracle: True where the class brings an `oracle`.
        constants: Epsilons that must survive the export, the class's `CONSTANTS`.
        place: `FILE.py:CLASS`, for messages.
    """

    spec: GraphSpec
    module: nn.Module
    oracle: Callable[[Arrays], dict[str, Estimate]]
    own_oracle: bool
    constants: tuple[float, ...]
    place: str = ""


def load_user_graph(place: str, *, open_batch: bool = True) -> UserGraph:
    """Load a class from a Python file and check that it keeps its own SPEC. Runs the file.

    Args:
        place: `FILE.py:CLASS`. The class is an `nn.Module` that needs no arguments, with a `SPEC`, and optionally a
            static `oracle(arrays) -> {output: Estimate}` and `CONSTANTS`.
        open_batch: Whether the batch is to stay open in the graph, so that the module is tried at another one as well.

    Raises:
        InputError: The file or the class is missing or fails, its SPEC cannot be a graph's, or the module's outputs or
            the oracle's are not those of it.
    """
    file, _, name = place.rpartition(":")
    cls = _class(Path(file), name, place)
    spec = getattr(cls, "SPEC", None)
    if not isinstance(spec, GraphSpec):
        raise InputError(
            f"{place}: expected a class attribute SPEC of type lossrt.spec.GraphSpec, got {type(spec).__name__}"
        )
    check_spec(place, spec)
    constants = check_constants(place, getattr(cls, "CONSTANTS", ()))
    try:
        module = cls()
    except (Exception, SystemExit) as error:
        raise InputError(f"{place}: expected a class that needs no arguments, got: {error}") from error
    if not isinstance(module, nn.Module):
        raise InputError(f"{place}: expected a torch.nn.Module, got {type(module).__name__}")
    batch = spec.sizes.get("B", 1)
    for images in (batch, batch + 1) if open_batch and "B" in spec.sizes else (batch,):
        _check_outputs(place, module, spec, images)
    oracle = getattr(cls, "oracle", None)
    judge = _guarded(place, oracle, spec) if oracle else (lambda arrays: _own_run(module, spec, arrays))
    if oracle:
        judge(random_case("nominal", spec, batch=batch, seed=0))
    return UserGraph(
        spec=spec, module=module, oracle=judge, own_oracle=oracle is not None, constants=constants, place=place
    )


def _class(file: Path, name: str, place: str) -> Any:
    if file.suffix != ".py" or not name.isidentifier():
        raise InputError(f"graph '{place}': expected FILE.py:CLASS, for example my_losses.py:MyGraph")
    if not file.is_file():
        raise InputError(f"graph '{place}': expected a Python file at '{file}', got none; check the path")
    loader = importlib.util.spec_from_file_location(f"lossrt_user_{file.stem}", file)
    assert loader is not None
    assert loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    sys.modules[loader.name] = module  # dataclasses and pickling of annotations look a class's module up
    try:
        loader.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"graph '{place}': {file} fails when it is run: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        known = sorted(key for key, value in vars(module).items() if isinstance(value, type) and hasattr(value, "SPEC"))
        raise InputError(
            f"graph '{place}': no class '{name}' in {file}; classes with a SPEC: {', '.join(known) or 'none'}"
        )
    return found


def _check_outputs(place: str, module: nn.Module, spec: GraphSpec, batch: int) -> None:
    sizes = spec.sizes | ({"B": batch} if "B" in spec.sizes else {})
    arrays = random_case("nominal", spec, batch=batch, seed=0)
    at = f" (B={batch})" if "B" in spec.sizes else ""
    outputs = _outputs(place, module, arrays, at)
    expected = {output.name: resolved_shape(output.dims, sizes) for output in spec.outputs}
    if not isinstance(outputs, Mapping) or list(outputs) != list(expected):
        got = list(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise InputError(
            f"{place}: expected forward to return {list(expected)} as its SPEC says, in that order, got {got}"
        )
    for key, shape in expected.items():
        value = outputs[key]
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            got = str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"{place}: output '{key}': expected a float32 tensor, got {got}")
        if tuple(value.shape) != shape:
            raise InputError(
                f"{place}: output '{key}': expected shape {shape} as its SPEC says{at}, got {tuple(value.shape)}"
            )
    again = _outputs(place, module, arrays, at)
    if differing := [key for key in expected if not torch.equal(*map(torch.nan_to_num, (outputs[key], again[key])))]:
        raise InputError(
            f"{place}: output '{differing[0]}': expected the same result for the same inputs, got another at the second "
            "call: nothing random, and nothing kept between calls, can be judged"
        )


def _outputs(place: str, module: nn.Module, arrays: Arrays, at: str) -> Any:
    """Call the module on arrays, which it has to leave as they are."""
    tensors = {key: torch.from_numpy(array.copy()) for key, array in arrays.items()}
    try:
        with torch.no_grad():
            outputs = module(dict(tensors))
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{place}: forward fails on inputs of its SPEC{at}: {type(error).__name__}: {error}"
        ) from error
    for key, array in arrays.items():
        if not np.array_equal(tensors[key].numpy(), array, equal_nan=array.dtype.kind == "f"):
            raise InputError(f"{place}: input '{key}': forward changes it in place; work on a copy")
    return outputs


def _guarded(place: str, oracle: Callable[[Arrays], Any], spec: GraphSpec) -> Callable[[Arrays], dict[str, Estimate]]:
    """Return the oracle with every result checked: a wrong truth would condemn a right graph."""

    def judge(arrays: Arrays) -> dict[str, Estimate]:
        try:
            found = oracle(arrays)
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{place}: oracle fails on inputs of its SPEC: {type(error).__name__}: {error}; it takes the arrays by "
                "name, as a static method"
            ) from error
        sizes = dim_sizes(spec, arrays)
        names = [output.name for output in spec.outputs]
        if not isinstance(found, Mapping) or set(found) != set(names):
            got = list(found) if isinstance(found, Mapping) else type(found).__name__
            raise InputError(f"{place}: expected oracle to return {names} as its SPEC says, got {got}")
        for output in spec.outputs:
            _check_estimate(
                f"{place}: oracle's '{output.name}'", found[output.name], resolved_shape(output.dims, sizes)
            )
        return dict(found)

    return judge


def _check_estimate(title: str, found: object, shape: tuple[int, ...]) -> None:
    if not isinstance(found, Estimate):
        raise InputError(f"{title}: expected a lossrt.spec.Estimate, got {type(found).__name__}")
    for part in ("value", "scale"):
        array = np.asarray(getattr(found, part))
        if array.shape != shape or array.dtype != np.float64:
            raise InputError(
                f"{title}: {part}: expected float64{list(shape)} as its SPEC says, got {array.dtype}{list(array.shape)}"
            )
    if not isinstance(found.terms, int | np.integer) or found.terms < 1:
        raise InputError(f"{title}: terms: expected a whole number >= 1, got {found.terms!r}")


def _own_run(module: nn.Module, spec: GraphSpec, arrays: Arrays) -> dict[str, Estimate]:
    """Run the module itself in float64: it shows what fp32 and the export cost, not whether the formula is right."""
    tensors = {key: _widened(array) for key, array in arrays.items()}
    with torch.no_grad():
        outputs = module.double()(tensors)
    module.float()
    elements = max(int(array.size) for array in arrays.values())
    return {
        output.name: Estimate(
            value=np.asarray(outputs[output.name].numpy(), dtype=np.float64),
            scale=np.abs(np.asarray(outputs[output.name].numpy(), dtype=np.float64)),
            terms=elements,
        )
        for output in spec.outputs
    }


def _widened(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array if array.dtype.kind in "iub" else array.astype(np.float64))
