"""Convert a model to another opset.

Requires: no model-local functions when the opset goes down. Ensures: the model imports the asked opset of the standard
domain, and every node means there what it meant before.

ONNX's own converter goes up. Going down it refuses whole operators (Pad, Split) whose older form says the same, so the
way down is ours: a node passes where its schema did not change, and is rewritten where the older form says the same.
"""

__all__ = ["convert_opset", "opset_of"]

from collections.abc import Callable

import onnx
from onnx import defs, helper, numpy_helper, version_converter

from lossrt.errors import InputError

STANDARD = ("", "ai.onnx")


def opset_of(model: onnx.ModelProto) -> int:
    """Return the opset of the standard domain that the model imports; 0 where it imports none."""
    return next((opset.version for opset in model.opset_import if opset.domain in STANDARD), 0)


def convert_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the model at `opset`; the model itself when it is there already.

    Raises:
        InputError: A node has no form in that opset; every such node is named.
    """
    current = opset_of(model)
    if current == opset:
        return model
    if opset > current:
        try:
            return version_converter.convert_version(model, opset)
        except (RuntimeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise InputError(f"model: cannot be converted from opset {current} to {opset}: {error}") from error
    lower = onnx.ModelProto()
    lower.CopyFrom(model)
    constants = {entry.name: entry for entry in lower.graph.initializer}
    if refused := [problem for node in lower.graph.node if (problem := _lower(node, current, opset, constants))]:
        raise InputError(f"model: cannot be converted from opset {current} to {opset}: {'; '.join(refused)}")
    for entry in lower.opset_import:
        if entry.domain in STANDARD:
            entry.version = opset
    return lower


def _lower(node: onnx.NodeProto, current: int, opset: int, constants: dict[str, onnx.TensorProto]) -> str:
    """Rewrite one node in place; return what stands in the way, or nothing."""
    if node.domain not in STANDARD:
        return ""
    newer = defs.get_schema(node.op_type, current)
    try:
        older = defs.get_schema(node.op_type, opset)
    except defs.SchemaError:
        return f"node '{node.name}': {node.op_type} first appears in opset {newer.since_version}"
    if newer.since_version == older.since_version:
        return ""
    rewrite = _REWRITES.get(node.op_type)
    if rewrite is None or not rewrite(node, constants):
        return f"node '{node.name}': {node.op_type} has no form of this meaning below opset {newer.since_version}"
    return ""


def _split(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Split-18 added `num_outputs`; Split-13 splits evenly by the number of its outputs."""
    del constants
    kept = [attribute for attribute in node.attribute if attribute.name != "num_outputs"]
    del node.attribute[:]
    node.attribute.extend(kept)
    return True


def _pad(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Pad-18 added the input `axes`."""
    del constants
    return len(node.input) < 4 or not node.input[3]


def _reduce(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """The reductions other than ReduceSum took `axes` as an attribute before opset 18."""
    if len(node.input) < 2 or not node.input[1]:
        return all(attribute.name != "noop_with_empty_axes" or not attribute.i for attribute in node.attribute)
    if node.input[1] not in constants:
        return False
    axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
    kept = [attribute for attribute in node.attribute if attribute.name != "noop_with_empty_axes"]
    del node.input[1:]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("axes", axes)])
    return True


def _scatter(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Scatter-18 added the reductions `min` and `max`."""
    del constants
    return all(attribute.s not in (b"min", b"max") for attribute in node.attribute if attribute.name == "reduction")


_REWRITES: dict[str, Callable[[onnx.NodeProto, dict[str, onnx.TensorProto]], bool]] = {
    "Split": _split,
    "Pad": _pad,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    **dict.fromkeys(("ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2"), _reduce),
    **dict.fromkeys(("ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"), _reduce),
}
