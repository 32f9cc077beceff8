"""What every exported model must be before it may enter a bundle.

Each gate looks at the finished model, never at the module: what matters is what a runtime will read.
"""

__all__ = ["GateError", "check_model", "exempt_inputs"]

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from lossrt.errors import LossrtError
from lossrt.export.gather_function import DOMAIN
from lossrt.passes.inline import inline_functions
from lossrt.passes.walk import nodes_in
from lossrt.spec import GraphSpec, dim_sizes, resolve

STANDARD = ("", "ai.onnx")


class GateError(LossrtError):
    """An exported model fails a gate: a bug in the module or in the exporter, never the user's input."""


class GatherElements(OpRun):
    """onnx.reference's own fails past 64 rows, where numpy's `choose` stops; it is replaced by class name."""

    op_domain = ""

    def _run(self, data: NDArray[Any], indices: NDArray[Any], axis: int = 0) -> tuple[NDArray[Any]]:
        return (np.take_along_axis(data, indices, axis=axis),)


class Pad(OpRun):
    """onnx.reference's own refuses to cut off, which a negative pad does: the gradient of one that fills up."""

    op_domain = ""

    def _run(
        self, data: NDArray[Any], pads: NDArray[Any], value: Any = None, axes: Any = None, mode: Any = None
    ) -> tuple[NDArray[Any]]:
        if mode not in (None, "constant"):
            raise GateError(f"Pad: expected mode constant, got {mode}")
        chosen = list(range(data.ndim) if axes is None else axes)
        ends: list[tuple[int, int]] = [(0, 0)] * data.ndim
        for axis, before, after in zip(chosen, pads[: len(chosen)], pads[len(chosen) :], strict=True):
            ends[axis] = int(before), int(after)
        kept = tuple(
            slice(max(0, -before), size - max(0, -after))
            for size, (before, after) in zip(data.shape, ends, strict=True)
        )
        widths = [(max(0, before), max(0, after)) for before, after in ends]
        return (np.pad(data[kept], widths, constant_values=0 if value is None else np.asarray(value).item()),)


def check_model(
    model: onnx.ModelProto, spec: GraphSpec, *, constants: Sequence[float], feeds: Sequence[Mapping[str, NDArray[Any]]]
) -> None:
    """Check an exported model.

    Args:
        model: The model.
        spec: The signature that it was exported for.
        constants: Epsilons and clamps that the loss needs, each of which must be in the model as float32.
        feeds: Sets of legal inputs, to be perturbed one input at a time; it has to matter in one of them.

    Raises:
        GateError: A gate does not hold; the message says which, and where.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        shape_inference.infer_shapes(model, strict_mode=True, check_type=True, data_prop=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise GateError(f"graph '{spec.name}': onnx refuses it: {error}") from error
    _check_operators(model, spec)
    _check_types(model, spec)
    _check_constants(model, spec, constants)
    _check_signature(model, spec)
    _check_inputs_matter(model, spec, feeds)


def exempt_inputs(spec: GraphSpec) -> tuple[str, ...]:
    """Return the inputs with one legal value, which no output can show to be used: a class index where C = 1."""
    return tuple(
        tensor.name
        for tensor in spec.inputs
        if tensor.dtype.startswith("int")
        and tensor.low is not None
        and tensor.high is not None
        and resolve(tensor.high, spec.sizes) - resolve(tensor.low, spec.sizes) == 1
    )


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from nodes_in(model.graph.node)
    for function in model.functions:
        yield from nodes_in(function.node)


def _check_operators(model: onnx.ModelProto, spec: GraphSpec) -> None:
    ours = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        if node.domain not in STANDARD and (node.domain != DOMAIN or (node.domain, node.op_type) not in ours):
            raise GateError(
                f"graph '{spec.name}': node '{node.name}': {node.domain}::{node.op_type} is no operator of ours"
            )
        if any(attribute.name == "reduction" and attribute.s not in (b"", b"none") for attribute in node.attribute):
            raise GateError(
                f"graph '{spec.name}': node '{node.name}': {node.op_type} with a reduction; TensorRT refuses it, or "
                "drops the reduction in silence"
            )


def _check_types(model: onnx.ModelProto, spec: GraphSpec) -> None:
    double = onnx.TensorProto.DOUBLE
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    found = [value.name for value in values if value.type.tensor_type.elem_type == double]
    found += [constant.name for constant in model.graph.initializer if constant.data_type == double]
    found += [
        node.name
        for node in _nodes(model)
        for attribute in node.attribute
        if (node.op_type == "Cast" and attribute.name == "to" and attribute.i == double)
        or (attribute.HasField("t") and attribute.t.data_type == double)
    ]
    if found:
        raise GateError(f"graph '{spec.name}': float64 in {', '.join(found)}; TensorRT would demote it in silence")


def _check_constants(model: onnx.ModelProto, spec: GraphSpec, constants: Sequence[float]) -> None:
    tensors = [numpy_helper.to_array(constant) for constant in model.graph.initializer]
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                tensors.append(numpy_helper.to_array(attribute.t))
            elif attribute.name in ("value_float", "alpha", "min", "max"):
                tensors.append(np.array(attribute.f, dtype=np.float32))
    present = {float(value) for tensor in tensors if tensor.dtype == np.float32 for value in tensor.ravel()}
    for constant in constants:
        if float(np.float32(constant)) not in present:
            raise GateError(f"graph '{spec.name}': constant {constant!r} is gone; an optimizer folded it away")


def _check_signature(model: onnx.ModelProto, spec: GraphSpec) -> None:
    got = [value.name for value in model.graph.input], [value.name for value in model.graph.output]
    expected = [tensor.name for tensor in spec.inputs], [output.name for output in spec.outputs]
    if got != expected:
        raise GateError(f"graph '{spec.name}': expected inputs and outputs {expected}, got {got}")


def _check_inputs_matter(model: onnx.ModelProto, spec: GraphSpec, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    evaluator = ReferenceEvaluator(inline_functions(model), new_ops=[GatherElements, Pad])
    exempt = exempt_inputs(spec)
    idle = [tensor for tensor in spec.inputs if tensor.name not in exempt]
    for arrays in feeds:
        given = {tensor.name: arrays[tensor.name] for tensor in spec.inputs}
        before = evaluator.run(None, given)
        rng = np.random.default_rng(0)
        sizes = dim_sizes(spec, given)
        still = []
        for tensor in idle:
            changed = _perturbed(given[tensor.name], tensor.high, tensor.low, sizes, rng)
            after = evaluator.run(None, given | {tensor.name: changed})
            if all(np.array_equal(old, new, equal_nan=True) for old, new in zip(before, after, strict=True)):
                still.append(tensor)
        idle = still
        if not idle:
            return
    if idle:
        raise GateError(f"graph '{spec.name}': no output changes with input '{idle[0].name}'; it was cut off")


def _perturbed(
    array: NDArray[Any],
    high: float | str | None,
    low: float | str | None,
    sizes: Mapping[str, int],
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Return legal values other than the given ones."""
    if array.dtype.kind == "i":
        first, end = int(resolve(low or 0, sizes)), int(resolve(2 if high is None else high, sizes))
        return (first + (array - first + rng.integers(1, end - first, array.shape)) % (end - first)).astype(array.dtype)
    if high is not None and low is not None:
        lowest, span = resolve(low, sizes), resolve(high, sizes) - resolve(low, sizes)
        moved = (array - lowest + span * rng.uniform(0.1, 0.9, array.shape)) % span
        return (lowest + moved).astype(array.dtype)
    return (array + rng.normal(0, 1, array.shape)).astype(array.dtype)
