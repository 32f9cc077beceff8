"""Does a node say the same in an older version of its operator? Most versions only admit more element types.

A node does when its older schema has everything that it uses: attributes, inputs and outputs, element types; when what it
leaves to a default has the same default there; and when nothing else changed. What changed without a trace in the schema is
listed here, from ONNX's operator changelog.
"""

__all__ = ["OLDEST", "drop_defaults", "says_the_same"]

from collections.abc import Mapping

import onnx
from onnx import TensorProto, defs, helper

OLDEST = 13
"""Before this opset, versions changed meaning too often to be compared by their schemas."""

# Opset at which an operator changed its meaning, though its signature hardly tells.
_CHANGED = {
    "BatchNormalization": 14,
    "DFT": 20,
    "GridSample": 20,
    "GroupNormalization": 21,
    "Hardmax": 13,
    "LogSoftmax": 13,
    "Mod": 28,
    "OptionalGetElement": 18,
    "OptionalHasElement": 18,
    "RoiAlign": 16,
    "Softmax": 13,
}

# Opset at which an attribute got a new value, or a value a new meaning.
_NEW_VALUES: dict[tuple[str, str, bytes | int], int] = {
    ("AveragePool", "ceil_mode", 1): 22,
    ("LpPool", "ceil_mode", 1): 22,
    ("MaxPool", "ceil_mode", 1): 22,
    ("Pad", "mode", b"wrap"): 19,
    ("Resize", "coordinate_transformation_mode", b"half_pixel_symmetric"): 19,
    ("ScatterElements", "reduction", b"max"): 18,
    ("ScatterElements", "reduction", b"min"): 18,
    ("ScatterND", "reduction", b"max"): 18,
    ("ScatterND", "reduction", b"min"): 18,
}


def drop_defaults(node: onnx.NodeProto, newer: defs.OpSchema, older: defs.OpSchema) -> None:
    """Remove, in place, the attributes that the older schema lacks and that stand at their default.

    Args:
        node: The node.
        newer: Its operator's schema in the model.
        older: Its operator's schema in the older opset.
    """
    kept = [entry for entry in node.attribute if entry.name in older.attributes or not _is_default(entry, newer)]
    del node.attribute[:]
    node.attribute.extend(kept)


def says_the_same(
    node: onnx.NodeProto, newer: defs.OpSchema, older: defs.OpSchema, types: Mapping[str, int], *, rewritten: int = 0
) -> bool:
    """Say whether a node means the same in the older schema.

    Args:
        node: The node.
        newer: Its operator's schema in the model.
        older: Its operator's schema in the older opset.
        types: ONNX element type of each value; values that are missing are taken to fit.
        rewritten: Opset whose change of meaning is undone already; 0 for none.
    """
    changed = _CHANGED.get(node.op_type, 0)
    if older.since_version < changed <= newer.since_version and changed != rewritten:
        return False
    if any(entry.name not in older.attributes or _is_new(entry, node, older) for entry in node.attribute):
        return False
    if len(node.input) > older.max_input or len(node.output) > older.max_output:
        return False
    return _same_defaults(node, newer, older) and _types_fit(node, older, types)


def _is_default(entry: onnx.AttributeProto, schema: defs.OpSchema) -> bool:
    default = schema.attributes[entry.name].default_value if entry.name in schema.attributes else None
    if default is not None and default.type:
        return bool(helper.get_attribute_value(default) == helper.get_attribute_value(entry))
    # Dilations have no written default; all ones mean none.
    return entry.name == "dilations" and all(step == 1 for step in entry.ints)


def _is_new(entry: onnx.AttributeProto, node: onnx.NodeProto, older: defs.OpSchema) -> bool:
    return _NEW_VALUES.get((node.op_type, entry.name, entry.s or entry.i), 0) > older.since_version


def _same_defaults(node: onnx.NodeProto, newer: defs.OpSchema, older: defs.OpSchema) -> bool:
    given = {entry.name for entry in node.attribute}
    shared = (name for name in newer.attributes if name in older.attributes and name not in given)
    return all(_default(newer, name) == _default(older, name) for name in shared)


def _default(schema: defs.OpSchema, name: str) -> object:
    default = schema.attributes[name].default_value
    return helper.get_attribute_value(default) if default.type else None


def _types_fit(node: onnx.NodeProto, schema: defs.OpSchema, types: Mapping[str, int]) -> bool:
    for names, formals in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for position, name in enumerate(names):
            if not formals:
                return False
            formal = formals[min(position, len(formals) - 1)]
            kind = types.get(name, 0)
            if kind and f"tensor({TensorProto.DataType.Name(kind).lower()})" not in formal.types:
                return False
    return True
