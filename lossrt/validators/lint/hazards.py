"""Checks that follow values backwards: where an index comes from, and how the data that it reads came about."""

__all__ = ["one_hot_matmul", "transpose_before_gather", "unbounded_index"]

import math

from lossrt.validators.lint.ruleset import Rule, Target
from lossrt.validators.lint.view import NodeView, Value

_BOUNDED = frozenset({"ArgMax", "ArgMin", "Clip", "Mod", "NonZero", "Range", "Shape", "Size", "TopK"})
"""Operators whose result lies in a known range."""

_VIEWS = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that only look at the same elements in another way."""

_BIG_MAP = 16_384
_BIG_ONE_HOT = 65_536
_FARTHEST = 64


def unbounded_index(node: NodeView, rule: Rule, target: Target) -> str | None:
    """Name the model's input that an index comes from without any bound on the way."""
    del rule, target
    index = node.input(1)
    waiting, seen = [index], {index}
    while waiting:
        name = waiting.pop()
        if node.graph.is_input(name):
            return name
        maker = node.graph.maker(name)
        if maker is None or maker.op in _BOUNDED or node.graph.is_static(name):
            continue
        sources = [entry for entry in maker.proto.input if entry and entry not in seen]
        seen.update(sources)
        waiting.extend(sources)
    return None


def transpose_before_gather(node: NodeView, rule: Rule, target: Target) -> str | None:
    """Name the Transpose of a large map whose result is only read at a few places."""
    del rule, target
    maker = _behind_views(node, node.input(0))
    if maker is None or maker.op != "Transpose":
        return None
    before, after = _elements(node.input_value(0)), _elements(node.graph.value(node.proto.output[0]))
    if before is None or before < _BIG_MAP or (after is not None and 2 * after > before):
        return None
    return f"Transpose '{maker.path}' of {before} elements"


def one_hot_matmul(node: NodeView, rule: Rule, target: Target) -> str | None:
    """Name the one-hot matrix that a product reads."""
    del rule, target
    for name in node.proto.input:
        maker = _behind_views(node, name)
        size = _elements(node.graph.value(name)) if maker is not None else None
        if maker is not None and maker.op in ("OneHot", "Equal") and (size is None or size >= _BIG_ONE_HOT):
            return f"{maker.op} '{maker.path}'"
    return None


def _behind_views(node: NodeView, name: str) -> NodeView | None:
    maker = node.graph.maker(name)
    for _ in range(_FARTHEST):
        if maker is None or maker.op not in _VIEWS:
            break
        maker = maker.graph.maker(maker.input(0))
    return maker


def _elements(value: Value) -> int | None:
    """Return the number of elements, open dimensions counted as one; None where the rank is unknown."""
    if value.shape is None:
        return None
    return math.prod(size for size in value.shape if isinstance(size, int))
