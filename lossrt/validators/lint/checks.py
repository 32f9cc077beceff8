"""Conditions that take more than an attribute: each looks at one node and says what is the matter, or None."""

__all__ = ["CHECKS"]

import math
from collections.abc import Callable

import numpy as np

from lossrt.validators.lint.hazards import one_hot_matmul, transpose_before_gather, unbounded_index
from lossrt.validators.lint.ruleset import Rule, Target
from lossrt.validators.lint.view import NodeView

_SHAPE_INPUTS = {"OneHot": (1,), "Range": (0, 1, 2), "Resize": (2,), "Upsample": (1,)}
"""Inputs whose values decide the shape of the result."""

Check = Callable[[NodeView, Rule, Target], str | None]


def _branch_names(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    bodies = list(node.bodies.values())
    shared = set(bodies[0].outputs).intersection(*(body.outputs for body in bodies[1:])) if len(bodies) > 1 else set()
    return min(shared, default=None)


def _branch_ranks(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    if len(node.bodies) != 2 or node.graph.is_static(node.input(0)):
        return None
    then, other = node.bodies["then_branch"], node.bodies["else_branch"]
    for left, right in zip(then.outputs, other.outputs, strict=False):
        a, b = then.value(left).shape, other.value(right).shape
        if a is not None and b is not None and len(a) != len(b):
            return f"'{left}' has rank {len(a)}, '{right}' rank {len(b)}"
    return None


def _constant_index_range(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    shape = node.input_value(0).shape
    axis = node.setting("axis", 0)
    if not shape or not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
        return None
    size = shape[axis]
    values = node.constant_input(1)
    facts = node.facts.get(node.input(1))
    if values is not None and values.size:
        low, high = int(np.min(values)), int(np.max(values))
    elif facts is not None and facts.minimum is not None and facts.maximum is not None:
        low, high = facts.minimum, facts.maximum
    else:
        return None
    if not isinstance(size, int) or (low >= -size and high < size):
        return None
    return f"{high if high >= size else low} lies outside axis {axis} of size {size}"


def _deform_pads(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    shape = node.input_value(0).shape
    if shape is not None and len(shape) not in (3, 4):
        return f"input of rank {len(shape)}: only 1-D and 2-D maps are supported"
    pads = node.setting("pads", [])
    if isinstance(pads, list) and pads[: len(pads) // 2] != pads[len(pads) // 2 :]:
        return f"pads={pads}: both sides must have the same"
    return None


def _dropout_training(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    name = node.input(2)
    if not name:
        return None
    values = node.constant_input(2)
    if values is None:
        return f"'{name}' must be an initializer"
    return "is on" if bool(values.any()) else None


def _dynamic_input(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    shape = node.input_value(0).shape
    if shape is None or all(isinstance(size, int) for size in shape):
        return None
    return f"input '{node.input(0)}' has the open shape {_text(shape)}"


def _einsum_form(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    equation = str(node.setting("equation", ""))
    terms = [term.strip() for term in equation.split("->")[0].split(",")]
    repeated = any(len(set(term)) < len(term) for term in terms if "." not in term)
    return equation if "." in equation or repeated else None


def _einsum_letters(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    equation = str(node.setting("equation", ""))
    return equation if any(letter not in "abcdefghijklmnopqrstuvwxyz->., " for letter in equation) else None


def _empty_split(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    size, parts = _split_size(node), len(node.proto.output)
    if size is not None and math.ceil(size / parts) * (parts - 1) > size:
        return f"{size} elements into {parts} parts of {math.ceil(size / parts)}"
    return None


def _float_shape_input(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    for position in _SHAPE_INPUTS[node.op]:
        name = node.input(position)
        if name and node.graph.is_input(name) and "float" in node.graph.value(name).type:
            return name
    return None


def _grid_rank(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    shape = node.input_value(0).shape
    return None if shape is None or len(shape) == 4 else f"input of rank {len(shape)}"


def _pool_rank(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    kernel = node.setting("kernel_shape", [1, 1])
    return None if isinstance(kernel, list) and len(kernel) in (2, 3) else f"kernel_shape={kernel}"


def _resize_axes(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    axes, rank = node.setting("axes", None), len(node.input_value(0).shape or ())
    computed = bool(node.input(2)) and node.graph.constant(node.input(2)) is None
    if computed and isinstance(axes, list) and rank and axes != list(range(rank)):
        return f"axes={axes} with computed scales: only all axes in order are supported"
    return None


def _shape_range(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    start, end = node.setting("start", 0), node.setting("end", None)
    shape = node.input_value(0).shape
    whole = end is None or (shape is not None and isinstance(end, int) and end >= len(shape))
    if start == 0 and whole:
        return None
    given = [f"{name}={value}" for name, value in (("start", start), ("end", end)) if node.attribute(name) is not None]
    return ", ".join(given) or None


def _squeeze_dynamic(node: NodeView, rule: Rule, target: Target) -> str | None:
    if node.input(1) or node.attribute("axes") is not None:
        return None
    return _dynamic_input(node, rule, target)


def _topk_limit(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    values = node.constant_input(1)
    return str(int(values.max())) if values is not None and values.size and int(values.max()) > 3840 else None


def _uneven_split(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    size, parts = _split_size(node), len(node.proto.output)
    if size is not None and size % parts:
        return f"{size} elements into {parts} parts of {math.ceil(size / parts)}"
    return None


def _zero_point(node: NodeView, rule: Rule, target: Target) -> str | None:
    del rule, target
    values = node.constant_input(2)
    if values is None or not values.astype(np.float64).any():
        return None
    return str(values.astype(np.float64).flat[int(np.argmax(values.astype(np.float64) != 0))])


def _split_size(node: NodeView) -> int | None:
    """Return the size of the axis that a Split without lengths cuts; None where it is open."""
    shape, axis = node.input_value(0).shape, node.setting("axis", 0)
    if node.input(1) or not shape or not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
        return None
    size = shape[axis]
    return size if isinstance(size, int) else None


def _text(shape: tuple[object, ...]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


CHECKS: dict[str, Check] = {
    "branch_names": _branch_names,
    "branch_ranks": _branch_ranks,
    "constant_index_range": _constant_index_range,
    "deform_pads": _deform_pads,
    "dropout_training": _dropout_training,
    "dynamic_input": _dynamic_input,
    "empty_split": _empty_split,
    "einsum_form": _einsum_form,
    "einsum_letters": _einsum_letters,
    "float_shape_input": _float_shape_input,
    "grid_rank": _grid_rank,
    "one_hot_matmul": one_hot_matmul,
    "pool_rank": _pool_rank,
    "resize_axes": _resize_axes,
    "shape_range": _shape_range,
    "squeeze_dynamic": _squeeze_dynamic,
    "topk_limit": _topk_limit,
    "transpose_before_gather": transpose_before_gather,
    "unbounded_index": unbounded_index,
    "uneven_split": _uneven_split,
    "zero_point": _zero_point,
}
"""Every check that a rule may name."""
