"""Element types: what a parser refuses, what it demotes or narrows without a word. Reported where a type enters the graph."""

__all__ = ["type_findings", "wide_constant_findings"]

from collections.abc import Iterator, Mapping

import numpy as np

from lossrt.validators.lint.findings import Consequence, Finding
from lossrt.validators.lint.ruleset import RuleSet, Target
from lossrt.validators.lint.source import ConstantFacts
from lossrt.validators.lint.view import NodeView, Value

_INT32 = np.iinfo(np.int32)
_LIMITS_MEANT = frozenset({"Slice"})
"""Operators to which the largest int64 means `to the end`; clamped to int32, it still does."""

_UINT8_TAKERS = frozenset({"Cast", "CastLike", "Equal", "Identity", "QuantizeLinear"})


def type_findings(
    inputs: Mapping[str, Value],
    constants: Mapping[str, Value],
    nodes: tuple[NodeView, ...],
    target: Target,
    rules: RuleSet,
) -> Iterator[Finding]:
    """Yield the findings about element types.

    Args:
        inputs: The model's inputs.
        constants: The main graph's constants.
        nodes: Every node.
        target: The parser.
        rules: The facts.
    """
    for role, values in (("input", inputs), ("constant", constants)):
        for name, value in values.items():
            yield from _of_value(f"{role} '{name}'", "", value.type, target, rules, is_input=role == "input")
    for node in nodes:
        for kind in sorted(_introduced(node)):
            yield from _of_value(node.path, node.op, kind, target, rules)
        if "uint8" in _inputs(node) and node.op not in _UINT8_TAKERS:
            yield _finding(
                target,
                rules,
                ("type-uint8", "refused"),
                node.path,
                node.op,
                f"{node.op} of uint8: only inputs and outputs of the model may be uint8",
                "Cast to int32 or float32 first",
                ("code-8.5", "ops-10.15", "rtx-1.7"),
            )
        yield from _uint8_made(node, target, rules)


def wide_constant_findings(
    nodes: tuple[NodeView, ...], facts: Mapping[str, ConstantFacts], target: Target, rules: RuleSet
) -> Iterator[Finding]:
    """Yield a finding for every int64 constant that int32 cannot hold, where the parser narrows int64."""
    if target.functions:
        return
    for node in nodes:
        for name in node.proto.input:
            known = facts.get(name)
            if known is None or known.minimum is None or known.maximum is None or node.op in _LIMITS_MEANT:
                continue
            if node.graph.constant(name) is not None and not (
                known.minimum >= _INT32.min and known.maximum <= _INT32.max
            ):
                yield _finding(
                    target,
                    rules,
                    ("int64-clamped", "silently_wrong"),
                    node.path,
                    node.op,
                    f"constant '{name}' reaches {max(known.maximum, -known.minimum)} and is clamped to int32",
                    "keep integers within int32",
                    ("ops-8.5",),
                )


def _of_value(
    path: str, op: str, kind: str, target: Target, rules: RuleSet, *, is_input: bool = False
) -> Iterator[Finding]:
    if kind == "float64":
        yield _finding(
            target,
            rules,
            ("type-float64", "silently_wrong"),
            path,
            op,
            "float64 is demoted to float32 without a word",
            "cast to float32 in the model, where you can see it",
            ("ops-8.5", "ops-10.15", "rtx-1.7"),
        )
    elif kind and not rules.type_known(kind, target):
        yield _finding(
            target,
            rules,
            ("type-unsupported", "refused"),
            path,
            op,
            f"{kind} is not supported",
            "cast to int32 or float32 before the model",
            ("ops-8.5", "ops-10.15", "rtx-1.7"),
        )
    elif kind == "int64" and is_input and not target.functions:
        yield _finding(
            target,
            rules,
            ("int64-input", "risk"),
            path,
            op,
            "int64 becomes int32: the engine's binding takes int32, and int64 bytes give wrong indices",
            "lossrt lint --fix: make the input int32; or convert before you copy",
            ("ops-8.5", "issue-2037"),
        )


def _introduced(node: NodeView) -> set[str]:
    """Return the element types that a node gives and does not take."""
    made = {node.graph.value(name).type for name in node.proto.output if name}
    return made - _inputs(node) - {""}


def _inputs(node: NodeView) -> set[str]:
    return {node.graph.value(name).type for name in node.proto.input if name}


def _uint8_made(node: NodeView, target: Target, rules: RuleSet) -> Iterator[Finding]:
    """TensorRT keeps uint8 at the border of the model only."""
    for name in node.proto.output:
        inside = node.graph.outer is not None or name not in node.graph.outputs
        if node.op in ("Cast", "CastLike") and node.graph.value(name).type == "uint8" and inside:
            yield _finding(
                target,
                rules,
                ("type-uint8", "refused"),
                node.path,
                node.op,
                f"'{name}' is uint8 inside the graph: only inputs and outputs of the model may be",
                "Cast to int32 instead",
                ("code-8.5", "ops-10.15", "rtx-1.7"),
            )


def _finding(
    target: Target,
    rules: RuleSet,
    rule: tuple[str, Consequence],
    path: str,
    op: str,
    message: str,
    fix: str,
    sources: tuple[str, ...],
) -> Finding:
    return Finding(target.name, *rule, path, op, message, fix, rules.reference(sources))
