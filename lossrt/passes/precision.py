"""Let maps come in half the width, with the casts back to float32 written into the graph.

Requires: a valid model, opset 13 or newer for bf16, in which the named inputs are float32 and no control flow reads them
or what is moved out of them. Local functions may stay or be inlined.

Ensures: the named inputs are float16 or bfloat16. Values that are only moved out of them (gathered, reshaped, sliced) keep
that type, graph outputs among them; before anything computes with one, a Cast makes it float32. Each value is cast once, as
late as possible, so that a gather reads maps of half the width and only its small result is cast. All arithmetic stays
float32: the results are bit-identical to the model's own on inputs rounded to that type. Every tensor's type is in the
file (strongly typed) and shapes are inferred anew.
"""

__all__ = ["HALF_TYPES", "MOVEMENT", "cast_maps", "map_names"]

from collections.abc import Collection, Mapping

import onnx
from onnx import TensorProto, helper, shape_inference

from lossrt.errors import InputError, nearest
from lossrt.passes.opset import STANDARD, opset_of
from lossrt.passes.walk import nodes_in
from lossrt.spec import GraphSpec

HALF_TYPES: dict[str, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
"""ONNX element type of each precision whose maps are narrower than float32."""

MOVEMENT = frozenset(
    {
        "Concat",
        "Expand",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators that only move values: the first input's (Concat: every input's) to the outputs."""

# ONNX Runtime's CPU has no bfloat16 kernel for these, so that such a graph would not load there: cast before them.
_WITHOUT_KERNEL = {"bf16": frozenset({"Expand"}), "fp16": frozenset[str]()}

_Functions = Mapping[tuple[str, str], onnx.FunctionProto]


def map_names(spec: GraphSpec) -> tuple[str, ...]:
    """Return the inputs of a graph that are maps: those whose dimensions hold both H and W."""
    return tuple(
        tensor.name
        for tensor in spec.inputs
        if {"H", "W"} <= {factor for dim in tensor.dims if isinstance(dim, str) for factor in dim.split("*")}
    )


def cast_maps(model: onnx.ModelProto, names: Collection[str], *, to: str) -> onnx.ModelProto:
    """Return the model with the named inputs in a half-width type and its arithmetic in float32, as before.

    Args:
        model: A float32 model; it is left as it is.
        names: Its inputs to retype, for example `map_names(spec)`.
        to: `fp16` or `bf16`.

    Raises:
        InputError: The precision or an input is unknown, an input is not float32, the opset has no bfloat16, or control
            flow reads such a value.
    """
    if to not in HALF_TYPES:
        raise InputError(f"precision '{to}': not a type that maps can have; {nearest(to, HALF_TYPES)}")
    if to == "bf16" and opset_of(model) < 13:
        raise InputError(f"model: bf16 needs opset 13 or newer, got {opset_of(model)}; export for a newer target")
    cast = onnx.ModelProto()
    cast.CopyFrom(model)
    _check_inputs(cast.graph, names)
    half = _push_casts(cast, names, to)
    for value in (*cast.graph.input, *cast.graph.output, *cast.graph.value_info):
        if value.name in half:
            value.type.tensor_type.elem_type = HALF_TYPES[to]
    for function in cast.functions:
        # One function may now be called with several types.
        del function.value_info[:]
    return shape_inference.infer_shapes(cast, check_type=True, strict_mode=True, data_prop=True)


def _check_inputs(graph: onnx.GraphProto, names: Collection[str]) -> None:
    inputs = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    for name in names:
        if name not in inputs:
            raise InputError(f"input '{name}': not in graph '{graph.name}'; {nearest(name, inputs)}")
        if inputs[name] != TensorProto.FLOAT:
            got = TensorProto.DataType.Name(inputs[name]).lower()
            raise InputError(f"input '{name}': expected float32, got {got}; cast the maps of the fp32 graph only")


def _push_casts(model: onnx.ModelProto, names: Collection[str], to: str) -> set[str]:
    """Write the casts into the graph; return the names of the values that are of the half-width type."""
    functions = {(function.domain, function.name): function for function in model.functions}
    half, casts = set(names), dict[str, str]()
    taken = {name for node in model.graph.node for name in (*node.output, node.name)}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        _refuse_capture(node, half)
        if _moves(node, half, to, functions):
            half.update(node.output)
        elif node.op_type not in ("Shape", "Size"):
            for position, name in enumerate(node.input):
                if name in half:
                    if name not in casts:
                        casts[name] = _fresh(f"{name}:float32", taken)
                        cast_name = _fresh(f"cast_{name}", taken)
                        nodes.append(
                            helper.make_node("Cast", [name], [casts[name]], name=cast_name, to=TensorProto.FLOAT)
                        )
                    node.input[position] = casts[name]
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return half


def _moves(node: onnx.NodeProto, half: Collection[str], to: str, functions: _Functions) -> bool:
    """Tell whether all outputs of the node are values of `half`, moved and nothing else."""
    if node.domain in STANDARD:
        data = node.input if node.op_type == "Concat" else node.input[:1]
        return node.op_type in MOVEMENT - _WITHOUT_KERNEL[to] and bool(data) and all(name in half for name in data)
    function = functions.get((node.domain, node.op_type))
    return function is not None and _function_moves(function, node, half, to, functions)


def _function_moves(
    function: onnx.FunctionProto, call: onnx.NodeProto, half: Collection[str], to: str, functions: _Functions
) -> bool:
    """Tell the same of a local function: nothing in it may compute with such a value, and every output must be one."""
    inner = {formal for formal, actual in zip(function.input, call.input, strict=False) if actual in half}
    for node in function.node:
        if _moves(node, inner, to, functions):
            inner.update(node.output)
        elif node.op_type not in ("Shape", "Size") and not inner.isdisjoint(node.input):
            return False
    return inner.issuperset(function.output)


def _refuse_capture(node: onnx.NodeProto, half: Collection[str]) -> None:
    _, *inner = nodes_in([node])
    if captured := sorted({name for part in inner for name in part.input if name in half}):
        raise InputError(
            f"node '{node.name}' ({node.op_type}): its subgraph reads {', '.join(captured)}, expected no values of the "
            "maps there; leave these inputs in float32"
        )


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
