"""Convert a model to another opset.

Requires: no model-local functions when the opset goes down. Ensures: the model imports the asked opset of the standard
domain, and every node, in subgraphs as well, means there what it meant before.

ONNX's own converter goes up. Going down it refuses whole operators (Pad, Split) whose older form says the same, so the
way down is ours: a node passes where its older schema says the same (`lossrt.passes.older_form`), and is rewritten where
another form of it does. What is left is refused.
"""

__all__ = ["convert_opset", "opset_of"]

from collections.abc import Callable
from dataclasses import dataclass

import onnx
from onnx import defs, helper, numpy_helper, shape_inference, version_converter

from lossrt.errors import InputError
from lossrt.passes.older_form import OLDEST, drop_defaults, says_the_same
from lossrt.passes.walk import nodes_in

STANDARD = ("", "ai.onnx")


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a model's values: constants, shapes with 0 for an open dimension, element types."""

    constants: dict[str, onnx.TensorProto]
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, int]


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
    if model.functions:
        raise InputError(
            f"model: cannot be converted from opset {current} to {opset}: inline its local functions first"
        )
    lower = onnx.ModelProto()
    lower.CopyFrom(model)
    known = _known(shape_inference.infer_shapes(lower).graph)
    nodes = nodes_in(lower.graph.node)
    if refused := [problem for node in nodes if (problem := _lower(node, current, opset, known))]:
        raise InputError(f"model: cannot be converted from opset {current} to {opset}: {'; '.join(refused)}")
    for entry in lower.opset_import:
        if entry.domain in STANDARD:
            entry.version = opset
    return lower


def _known(graph: onnx.GraphProto) -> _Known:
    inner = [inside for node in nodes_in(graph.node) for entry in node.attribute for inside in (entry.g, *entry.graphs)]
    constants, shapes, types = {}, {}, {}
    for part in (graph, *inner):
        constants.update({entry.name: entry for entry in part.initializer})
        types.update({entry.name: entry.data_type for entry in part.initializer})
        for value in (*part.input, *part.value_info, *part.output):
            types[value.name] = value.type.tensor_type.elem_type
            if value.type.tensor_type.HasField("shape"):
                shapes[value.name] = tuple(int(dim.dim_value) for dim in value.type.tensor_type.shape.dim)
    return _Known(constants, shapes, types)


def _lower(node: onnx.NodeProto, current: int, opset: int, known: _Known) -> str:
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
    changed, rewrite = _REWRITES.get(node.op_type, (0, None))
    crossed = changed if older.since_version < changed <= newer.since_version else 0
    fits = opset >= OLDEST and (not crossed or rewrite is None or rewrite(node, known))
    if fits:
        drop_defaults(node, newer, older)
        fits = says_the_same(node, newer, older, known.types, rewritten=crossed)
    problem = f"node '{node.name}': {node.op_type} has no form of this meaning below opset {newer.since_version}"
    return "" if fits else problem


def _split(node: onnx.NodeProto, known: _Known) -> bool:
    """Split-18 added `num_outputs`, the last part the smaller; Split-13 splits evenly by the number of its outputs."""
    if len(node.input) < 2 or not node.input[1]:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        shape = known.shapes.get(node.input[0])
        if shape is None or shape[axis] == 0 or shape[axis] % len(node.output):
            return False
    kept = [attribute for attribute in node.attribute if attribute.name != "num_outputs"]
    del node.attribute[:]
    node.attribute.extend(kept)
    return True


def _pad(node: onnx.NodeProto, known: _Known) -> bool:
    """Pad-18 added the input `axes`."""
    del known
    return len(node.input) < 4 or not node.input[3]


def _reshape(node: onnx.NodeProto, known: _Known) -> bool:
    """Reshape-14 added `allowzero`, without which a 0 in the shape copies the input's size."""
    asked = any(attribute.name == "allowzero" and attribute.i for attribute in node.attribute)
    if asked and node.input[1] not in known.constants:
        return False
    if asked and not numpy_helper.to_array(known.constants[node.input[1]]).all():
        return False
    del node.attribute[:]
    return True


def _reduce(node: onnx.NodeProto, known: _Known) -> bool:
    """The reductions other than ReduceSum took `axes` as an attribute before opset 18."""
    if len(node.input) < 2 or not node.input[1]:
        return all(attribute.name != "noop_with_empty_axes" or not attribute.i for attribute in node.attribute)
    if node.input[1] not in known.constants:
        return False
    axes = numpy_helper.to_array(known.constants[node.input[1]]).tolist()
    kept = [attribute for attribute in node.attribute if attribute.name != "noop_with_empty_axes"]
    del node.input[1:]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("axes", axes)])
    return True


def _grid_sample(node: onnx.NodeProto, known: _Known) -> bool:
    """GridSample-20 renamed the modes, and admitted other ranks than 4."""
    if len(known.shapes.get(node.input[0], ())) != 4:
        return False
    older = {b"linear": b"bilinear", b"cubic": b"bicubic"}
    for attribute in node.attribute:
        if attribute.name == "mode":
            attribute.s = older.get(attribute.s, attribute.s)
    if all(attribute.name != "mode" for attribute in node.attribute):
        node.attribute.append(helper.make_attribute("mode", "bilinear"))
    return True


# What undoes a change of meaning, and the opset that made it.
_REWRITES: dict[str, tuple[int, Callable[[onnx.NodeProto, _Known], bool]]] = {
    "GridSample": (20, _grid_sample),
    "Pad": (18, _pad),
    "Reshape": (14, _reshape),
    "Split": (18, _split),
    **dict.fromkeys(("ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2"), (18, _reduce)),
    **dict.fromkeys(("ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"), (18, _reduce)),
}
