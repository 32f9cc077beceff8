"""One golden case: inputs as deployed, PyTorch's result on them, and the oracle's."""

__all__ = ["MAP_TYPES", "Oracle", "deployed", "golden_case"]

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray

from lossrt.bundle import Case
from lossrt.models import Graph
from lossrt.passes.precision import map_names
from lossrt.recipe import Recipe
from lossrt.spec import Estimate, GraphSpec

Arrays = Mapping[str, NDArray[Any]]
Oracle = Callable[[Recipe, Arrays], dict[str, Estimate]]
MAP_TYPES: dict[str, np.dtype[Any]] = {
    "fp32": np.dtype(np.float32),
    "fp16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
}
"""Type of the maps by the name of the precision."""


def deployed(inputs: Arrays, spec: GraphSpec, precision: str) -> dict[str, NDArray[Any]]:
    """Return the inputs with their maps in a precision's type, everything else as it is."""
    maps = map_names(spec)
    with np.errstate(over="ignore"):
        return {name: array.astype(MAP_TYPES[precision]) if name in maps else array for name, array in inputs.items()}


def golden_case(
    name: str, graph: Graph, inputs: Arrays, *, recipe: Recipe, spec: GraphSpec, oracle: Oracle, precision: str
) -> Case:
    """Compute a case's results on the inputs as deployed: PyTorch's in fp32, the oracle's in float64.

    Args:
        name: Case name.
        graph: The graph.
        inputs: Its inputs in float32 and int64.
        recipe: The recipe.
        spec: The graph's signature.
        oracle: The graph's oracle.
        precision: Type of the maps: `fp32`, `fp16` or `bf16`.
    """
    given = deployed(inputs, spec, precision)
    widened = {key: array if array.dtype.kind == "i" else array.astype(np.float32) for key, array in given.items()}
    with torch.no_grad():
        reference = graph.reference(recipe, {key: torch.from_numpy(array) for key, array in widened.items()})
    estimates = oracle(recipe, given)
    return Case(
        name=name,
        input=given,
        reference={output: _as_deployed(value.numpy(), spec, precision) for output, value in reference.items()},
        oracle={output: estimate.value for output, estimate in estimates.items()},
        scale={output: estimate.scale for output, estimate in estimates.items()},
        terms={output: np.array(estimate.terms, dtype=np.int64) for output, estimate in estimates.items()},
    )


def _as_deployed(value: NDArray[Any], spec: GraphSpec, precision: str) -> NDArray[Any]:
    """A gathered map comes out in the map's type; losses are fp32 in every precision."""
    return value.astype(MAP_TYPES[precision]) if spec.name == "gather_feat" else value
