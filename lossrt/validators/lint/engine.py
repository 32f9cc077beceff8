"""Lint a model for one or more parsers: the rules read the graph, and never run it."""

__all__ = ["lint_model"]

from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import inliner

from lossrt.errors import InputError
from lossrt.validators.lint.conditions import broken_by
from lossrt.validators.lint.dtypes import type_findings, wide_constant_findings
from lossrt.validators.lint.findings import CONSEQUENCES, FAILING, Finding
from lossrt.validators.lint.operators import function_findings, newer_form_finding, operator_finding, opset_finding
from lossrt.validators.lint.ruleset import Rule, RuleSet, Target, find_targets, load_rules
from lossrt.validators.lint.source import LintModel, read_model
from lossrt.validators.lint.view import NodeView, Value, opset_of, view_model

_MAX_RANK = 8


def lint_model(model: Path | str | onnx.ModelProto, *, targets: Sequence[str] = ("all",)) -> tuple[Finding, ...]:
    """Say what each target's parser will do with a model that it should not.

    Any ONNX model will do; it is not executed, and its weights are not copied. Local functions are judged as such, and
    their nodes as they stand after inlining, subgraphs included.

    Args:
        model: Path of an ONNX file, or a model in memory (with its weights inside).
        targets: Lint targets, `all` among them.

    Returns:
        The findings, by target, worst first.

    Raises:
        InputError: A target is unknown, or the file is not a usable ONNX model (see `read_model`).
    """
    rules = load_rules()
    chosen = find_targets(targets, rules)
    read = read_model(model)
    inlined = _inline(read)
    nodes = view_model(inlined)
    findings: list[Finding] = []
    for target in chosen:
        found = [*function_findings(read.proto, target, rules), *_findings(inlined, nodes, target, rules)]
        findings += sorted(dict.fromkeys(found), key=lambda finding: CONSEQUENCES.index(finding.consequence))
    return tuple(findings)


def _inline(model: LintModel) -> LintModel:
    if not model.proto.functions:
        return model
    try:
        return LintModel(inliner.inline_local_functions(model.proto), model.facts)
    except Exception as error:  # onnx raises several kinds
        raise InputError(
            f"ONNX model: its local functions cannot be inlined: {error}; export the model again"
        ) from error


def _findings(model: LintModel, nodes: tuple[NodeView, ...], target: Target, rules: RuleSet) -> Iterator[Finding]:
    if opset := opset_finding(opset_of(model.proto), target, rules):
        yield opset
    constants = {tensor.name for tensor in model.proto.graph.initializer}
    main = nodes[0].graph.values if nodes else {}
    inputs = {
        value.name: main.get(value.name, Value()) for value in model.proto.graph.input if value.name not in constants
    }
    yield from type_findings(inputs, {name: main[name] for name in constants if name in main}, nodes, target, rules)
    yield from wide_constant_findings(nodes, model.facts, target, rules)
    by_operator: dict[str, list[Rule]] = {}
    for rule in rules.rules_for(target):
        for op in rule.ops:
            by_operator.setdefault(op, []).append(rule)
    for node in nodes:
        yield from _node_findings(node, by_operator, target, rules)


def _node_findings(
    node: NodeView, by_operator: dict[str, list[Rule]], target: Target, rules: RuleSet
) -> Iterator[Finding]:
    if unknown := operator_finding(node, target, rules):
        yield unknown
        return
    failed = False
    for rule in by_operator.get(node.op, []):
        known = broken_by(node, rule, target)
        if known is not None:
            failed = failed or rule.consequence in FAILING
            message = rule.message.format(op=node.op, **known)
            reference = rules.reference(rule.sources)
            yield Finding(target.name, rule.id, rule.consequence, node.path, node.op, message, rule.fix, reference)
    if not failed and (newer := newer_form_finding(node, target, rules)):
        yield newer
    if rank := _rank_finding(node, target, rules):
        yield rank


def _rank_finding(node: NodeView, target: Target, rules: RuleSet) -> Finding | None:
    for name in (*node.proto.input, *node.proto.output):
        shape = node.graph.value(name).shape if name else None
        if shape is not None and len(shape) > _MAX_RANK:
            message = f"'{name}' has rank {len(shape)}: at most {_MAX_RANK} are supported"
            fix = "merge axes with Reshape"
            return Finding(
                target.name,
                "rank",
                "refused",
                node.path,
                node.op,
                message,
                fix,
                rules.reference(("code-8.5", "rtx-1.7")),
            )
    return None
