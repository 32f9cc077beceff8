"""When does a rule of the data file hold for a node? All its conditions together, each by itself trivial."""

__all__ = ["broken_by"]

from collections.abc import Callable, Iterator

from lossrt.validators.lint.checks import CHECKS
from lossrt.validators.lint.ruleset import Rule, Target
from lossrt.validators.lint.view import NodeView


def broken_by(node: NodeView, rule: Rule, target: Target) -> dict[str, object] | None:
    """Return what the rule's message needs to know, where all conditions of the rule hold for the node.

    Args:
        node: The node; its operator is one of the rule's.
        rule: The rule; it holds for the target.
        target: The parser.

    Returns:
        `detail` and `value` for the message; None where the rule is not broken.
    """
    if node.opset < rule.opset:
        return None
    known: dict[str, object] = {"detail": "", "value": ""}
    for condition in _conditions(rule):
        detail = condition(node, rule, target)
        if detail is None:
            return None
        known |= {"detail": detail, "value": detail}
    return known


_Condition = Callable[[NodeView, Rule, Target], object | None]


def _conditions(rule: Rule) -> Iterator[_Condition]:
    if rule.attribute is not None:
        yield _attribute
    if rule.attribute_given:
        yield _attribute_given
    if rule.const_inputs:
        yield _const_inputs
    if rule.static_inputs:
        yield _static_inputs
    if rule.without_inputs:
        yield _without_inputs
    if rule.max_outputs:
        yield _max_outputs
    if rule.types:
        yield _types
    if rule.check:
        yield CHECKS[rule.check]


def _attribute(node: NodeView, rule: Rule, target: Target) -> object | None:
    del target
    if rule.attribute is None:
        return None
    value = node.setting(rule.attribute.name, rule.attribute.default)
    return None if value in rule.attribute.allowed else value


def _attribute_given(node: NodeView, rule: Rule, target: Target) -> object | None:
    del target
    return next((name for name in rule.attribute_given if node.attribute(name) is not None), None)


def _const_inputs(node: NodeView, rule: Rule, target: Target) -> object | None:
    for position in rule.const_inputs:
        name = node.input(position)
        # TensorRT takes initializers and Constant nodes; TensorRT for RTX folds what depends on them alone.
        constant = node.graph.constant(name) is not None or (target.is_rtx and node.graph.is_folded(name))
        if name and not constant:
            return name
    return None


def _static_inputs(node: NodeView, rule: Rule, target: Target) -> object | None:
    del target
    names = (node.input(position) for position in rule.static_inputs)
    return next((name for name in names if name and not node.graph.is_static(name)), None)


def _without_inputs(node: NodeView, rule: Rule, target: Target) -> object | None:
    del target
    return next((name for position in rule.without_inputs if (name := node.input(position))), None)


def _max_outputs(node: NodeView, rule: Rule, target: Target) -> object | None:
    del target
    return next((f"'{name}'" for name in node.proto.output[rule.max_outputs :] if name), None)


def _types(node: NodeView, rule: Rule, target: Target) -> object | None:
    del target
    for position, allowed in rule.types.items():
        kind = node.input_value(position).type
        if kind and kind not in allowed:
            return kind
    return None
