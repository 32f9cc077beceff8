"""Golden cases in every precision: inputs as deployed, PyTorch's result on them, and the oracle's."""

__all__ = ["MAP_TYPES", "Judges", "golden_case", "checked_precisions"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor

from lossrt.bundle import Case
from lossrt.errors import InputError, nearest
from lossrt.export.onnx_from_graph import ExportOptions
from lossrt.passes.precision import map_names
from lossrt.spec import Estimate, GraphSpec

Arrays = Mapping[str, NDArray[Any]]
MAP_TYPES: dict[str, np.dtype[Any]] = {
    "fp32": np.dtype(np.float32),
    "fp16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
}
"""Type of the maps by the name of the precision."""
MAP_DIMS = 4  # images, channels, rows, columns


@dataclass(frozen=True, slots=True)
class Judges:
    """What a graph's results are held against.

    Attributes:
        reference: PyTorch's form on named tensors, in fp32. None where it is the very module that is judged by an oracle
            of its own: a wrong formula would be excused by its own error.
        oracle: The float64 oracle on the arrays as deployed.
    """

    reference: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None
    oracle: Callable[[Arrays], Mapping[str, Estimate]]


def checked_precisions(precisions: Sequence[str], options: ExportOptions) -> tuple[str, ...]:
    """Return the precisions once each, in the order fp32, fp16, bf16.

    Raises:
        InputError: One is unknown or not to be had on the target, or there is none.
    """
    for precision in precisions:
        if precision not in MAP_TYPES:
            raise InputError(f"precision '{precision}': unknown; {nearest(precision, MAP_TYPES)}")
    if "bf16" in precisions and not options.platform.bfloat16:
        raise InputError(
            f"precision 'bf16': target '{options.target}' ({options.platform.runtime}) takes no bfloat16; use fp32 or fp16"
        )
    if not precisions:
        raise InputError(f"precision: expected at least one of {', '.join(MAP_TYPES)}, got none")
    return tuple(precision for precision in MAP_TYPES if precision in precisions)


def golden_case(
    name: str,
    inputs: Arrays,
    *,
    spec: GraphSpec,
    judges: Judges,
    precision: str,
    model: onnx.ModelProto,
    borrowed: bool = False,
) -> Case:
    """Compute a case's results on the inputs as deployed: PyTorch's in fp32, the oracle's in float64.

    Args:
        name: Case name.
        inputs: The graph's inputs, floats in float32.
        spec: The graph's signature.
        judges: Its reference and its oracle.
        precision: Type of the maps: `fp32`, `fp16` or `bf16`.
        model: The graph in that precision; it tells the outputs' types.
        borrowed: The inputs are kept with another graph's case. Of the maps among the outputs, which are as large as the
            inputs, only PyTorch's own error is kept then.
    """
    maps = map_names(spec)
    with np.errstate(over="ignore"):
        given = {key: array.astype(MAP_TYPES[precision]) if key in maps else array for key, array in inputs.items()}
    widened = {key: given[key].astype(np.float32) if key in maps else given[key] for key in given}
    reference: Mapping[str, Tensor] = {}
    if judges.reference is not None:
        with torch.no_grad():
            reference = judges.reference({key: torch.from_numpy(array) for key, array in widened.items()})
    estimates = judges.oracle(given)
    types = {
        value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in model.graph.output
    }
    large = {output.name for output in spec.outputs if borrowed and len(output.dims) == MAP_DIMS}
    kept = {output: estimate for output, estimate in estimates.items() if output not in large}
    return Case(
        name=name,
        input={} if borrowed else given,
        reference={output: reference[output].numpy().astype(types[output]) for output in kept if output in reference},
        oracle={output: estimate.value for output, estimate in kept.items()},
        scale={output: estimate.scale for output, estimate in kept.items()},
        terms={output: np.array(estimate.terms, dtype=np.int64) for output, estimate in kept.items()},
        own_error={output: _own_error(reference[output], estimates[output]) for output in large & set(reference)},
    )


def _own_error(reference: Tensor, exact: Estimate) -> NDArray[np.float64]:
    """Return the rms of PyTorch's error over the elements that are finite in both and that rounding does not decide."""
    error = reference.numpy().astype(np.float64) - exact.value
    finite = error[np.isfinite(error) & ~exact.undecided]
    return np.sqrt(np.mean(finite**2)) if finite.size else np.zeros(())
