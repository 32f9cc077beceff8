"""Decide how a model is walked: what every tensor's type is in the half-width run."""

__all__ = ["Mode", "Plan", "plan_of", "round_feeds"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper, shape_inference

from lossrt.errors import InputError, nearest
from lossrt.passes.inline import inline_functions
from lossrt.passes.precision import HALF_TYPES
from lossrt.validators.precision.conversion import FLOAT_TYPES, is_float
from lossrt.validators.precision.operators import Operator, operators_of
from lossrt.validators.precision.sensitivity import sensitive_tensors

Mode = Literal["naive", "as written"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A model ready to be walked.

    Attributes:
        graph: Its graph, local functions inlined and constants turned into initializers.
        operators: Its nodes, in order.
        mode: `naive` converts every float tensor to the half-width type; `as written` keeps the types of the file.
        half: The half-width type.
        roundoff: Its unit roundoff.
        types: Type of each tensor in the file, where it is known.
        sensitive: Tensors whose every element's own digits matter.
    """

    graph: onnx.GraphProto
    operators: tuple[Operator, ...]
    mode: Mode
    half: np.dtype[Any]
    roundoff: float
    types: dict[str, np.dtype[Any]]
    sensitive: frozenset[str]

    def dtype_of(self, name: str, kind: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type of a tensor in the half-width run, given what the operator gave."""
        if not is_float(kind):
            return kind
        return self.half if self.mode == "naive" else self.types.get(name, np.dtype(np.float32))


def plan_of(model: onnx.ModelProto, *, dtype: str) -> Plan:
    """Plan the walk: a file without half-width tensors is converted naively, any other runs as written.

    Args:
        model: Any ONNX model.
        dtype: `fp16` or `bf16`.

    Raises:
        InputError: The type or an operator is unknown, or the file is written in the other half-width type.
    """
    if dtype not in HALF_TYPES:
        raise InputError(f"type '{dtype}': not a half-width type; {nearest(dtype, HALF_TYPES)}")
    half = FLOAT_TYPES[HALF_TYPES[dtype]]
    flat = _fold_constants(inline_functions(model))
    _keep_origins(flat, model)
    types = _types(flat)
    narrow = {name for name, found in HALF_TYPES.items() if FLOAT_TYPES[found] in types.values()}
    if narrow and dtype not in narrow:
        raise InputError(
            f"graph '{flat.graph.name}': it is written in {', '.join(sorted(narrow))} and cannot be walked in {dtype}; "
            "ask for that type, or give the fp32 file"
        )
    roundoff = float(ml_dtypes.finfo(half).eps) / 2
    operators = operators_of(flat)
    mode: Mode = "as written" if narrow else "naive"
    return Plan(flat.graph, operators, mode, half, roundoff, types, sensitive_tensors(operators))


def round_feeds(plan: Plan, feeds: Mapping[str, NDArray[Any]]) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return each input as given, floats in float64, and as the half-width run takes it.

    Args:
        plan: The model.
        feeds: Arrays by input name; other names are ignored. Any float type stands for any other.

    Raises:
        InputError: Inputs are missing (all are named), or one has another type or shape.
    """
    given = {tensor.name for tensor in plan.graph.initializer}
    inputs = [value for value in plan.graph.input if value.name not in given]
    if missing := [value.name for value in inputs if value.name not in feeds]:
        raise InputError(
            f"graph '{plan.graph.name}': inputs {', '.join(missing)}: missing among the arrays given: "
            f"{', '.join(sorted(feeds)) or 'none'}; add them"
        )
    pairs = {}
    for value in inputs:
        array = np.asarray(feeds[value.name])
        _check(value, array)
        if is_float(array.dtype):
            with np.errstate(all="ignore"):
                pairs[value.name] = array.astype(np.float64), array.astype(plan.dtype_of(value.name, array.dtype))
        else:
            pairs[value.name] = array, array
    return pairs


def _check(value: onnx.ValueInfoProto, array: NDArray[Any]) -> None:
    tensor = value.type.tensor_type
    expected = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    same = array.dtype == expected or (is_float(array.dtype) and is_float(expected))
    shape = [d.dim_param or (d.dim_value if d.HasField("dim_value") else "?") for d in tensor.shape.dim]
    fits = not tensor.HasField("shape") or (
        len(shape) == array.ndim
        and all(want == got for want, got in zip(shape, array.shape, strict=True) if isinstance(want, int))
    )
    if not (same and fits):
        raise InputError(
            f"tensor '{value.name}': expected {expected.name}[{', '.join(map(str, shape))}], got "
            f"{array.dtype.name}[{', '.join(map(str, array.shape))}]; give arrays that the graph takes"
        )


def _types(model: onnx.ModelProto) -> dict[str, np.dtype[Any]]:
    """Return the type of every tensor that the file or ONNX's inference tells."""
    try:
        graph = shape_inference.infer_shapes(model).graph
    except Exception as error:  # a C++ exception without a base of its own
        raise InputError(f"graph '{model.graph.name}': its types do not agree: {error}; export it again") from error
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: FLOAT_TYPES[kind] for name, kind in kinds.items() if kind in FLOAT_TYPES}


def _fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Turn Constant nodes into initializers, so that a fault of a constant is told at the node that reads it."""
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Constant" and not node.domain and (tensor := _constant(node)) is not None:
            tensor.name = node.output[0]
            model.graph.initializer.append(tensor)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    attribute = node.attribute[0]
    if attribute.type == AttributeProto.TENSOR:
        tensor = TensorProto()
        tensor.CopyFrom(attribute.t)
        return tensor
    if attribute.name in ("value_float", "value_floats", "value_int", "value_ints"):
        kind = np.float32 if "float" in attribute.name else np.int64
        return numpy_helper.from_array(np.asarray(helper.get_attribute_value(attribute), kind))
    return None


def _keep_origins(flat: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Give the last node of an inlined function the name and metadata of the call, which the inliner drops."""
    calls = {node.output[0]: node for node in model.graph.node if node.output}
    for node in flat.graph.node:
        call = calls.get(node.output[0])
        if call is not None and not node.name:
            node.name = call.name
        if call is not None and not node.metadata_props:
            node.metadata_props.extend(call.metadata_props)
