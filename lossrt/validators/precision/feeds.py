"""Inputs for a walk, out of a bundle's golden cases."""

__all__ = ["feeds_from_bundle"]

from typing import Any

import onnx
from numpy.typing import NDArray

from lossrt.bundle import Bundle
from lossrt.errors import InputError, nearest
from lossrt.passes.precision import HALF_TYPES


def feeds_from_bundle(model: onnx.ModelProto, bundle: Bundle, *, case: str = "nominal") -> dict[str, NDArray[Any]]:
    """Return the inputs of a golden case that a model can run on.

    The first graph of the bundle whose inputs cover the model's is taken, in the precision of the model's own maps where
    the bundle has it and in fp32 otherwise.

    Args:
        model: One of the bundle's graphs, or any model that takes inputs of the same names.
        bundle: The bundle.
        case: Name of the case.

    Raises:
        InputError: No graph of the bundle has all inputs, or that graph has no such case.
    """
    given = {tensor.name for tensor in model.graph.initializer}
    wanted = {value.name for value in model.graph.input} - given
    kinds = {value.type.tensor_type.elem_type for value in model.graph.input}
    own = next((name for name, kind in HALF_TYPES.items() if kind in kinds), "fp32")
    for graph, entry in bundle.manifest.graphs.items():
        if wanted <= {tensor.name for tensor in entry.spec.inputs}:
            precision = own if own in entry.cases else "fp32"
            if case not in entry.cases[precision]:
                raise InputError(f"case '{case}': graph '{graph}' has none; {nearest(case, entry.cases[precision])}")
            return bundle.case(graph, precision, case).input
    raise InputError(
        f"model '{model.graph.name}': no graph of bundle {bundle.source} has its inputs {', '.join(sorted(wanted))}; give "
        "the arrays themselves with --inputs FILE"
    )
