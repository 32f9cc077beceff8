"""Does the parser know the operator? Its own, a local function, a plugin, or nobody's."""

__all__ = ["function_findings", "newer_form_finding", "operator_finding", "opset_finding"]

from collections.abc import Iterator

import onnx

from lossrt.validators.lint.findings import Consequence, Finding
from lossrt.validators.lint.ruleset import RuleSet, Target
from lossrt.validators.lint.view import NodeView

_DEFORMABLE = {
    "old": "deformable convolution has no operator here: build a plugin for it, or rewrite it with GridSample and Conv",
    "new": "export it as ONNX DeformConv (opset 19), which this version imports, or load your plugin with --plugin",
    "rtx": "TensorRT for RTX has neither the operator nor plugins: rewrite it with GridSample and Conv, or run the network in "
    "ONNX Runtime and only the loss in the engine",
}


def operator_finding(node: NodeView, target: Target, rules: RuleSet) -> Finding | None:
    """Return what is wrong with a node's operator as such, if anything.

    Args:
        node: The node; local functions are inlined already.
        target: The parser.
        rules: The facts.
    """
    if node.is_standard:
        return None if rules.operator_known(node.op, target) else _unsupported(node, target, rules)
    if node.op.startswith("TRT_") and target.functions:
        # The quantization operators of NVIDIA's own exporter; the parser knows them whatever their domain.
        return None
    if rules.operator_known(node.op, target):
        return _found(
            node,
            target,
            rules,
            "domain-ignored",
            "silently_wrong",
            f"the parser looks at the name alone: '{node.proto.domain}::{node.op}' is taken for ONNX's {node.op}",
            "rename the operator, or write it with standard operators",
            ("rtx-1.7", "code-8.5"),
        )
    if node.op in rules.plugins and not target.is_rtx:
        return _found(
            node,
            target,
            rules,
            "standard-plugin",
            "risk",
            f"'{node.op}' is a plugin of libnvinfer_plugin",
            "load the plugin library before parsing (trtexec does)",
            ("code-8.5", "code-10.13"),
        )
    return _custom(node, target, rules)


def function_findings(model: onnx.ModelProto, target: Target, rules: RuleSet) -> Iterator[Finding]:
    """Yield what is wrong with a model's local functions.

    Args:
        model: The model, its functions not inlined.
        target: The parser.
        rules: The facts.
    """
    names = [function.name for function in model.functions]
    short = _short_calls(model)
    for function in model.functions:
        path = f"{function.domain}::{function.name}"
        if target.functions and path in short:
            yield Finding(
                target.name,
                "function-inputs",
                "refused",
                path,
                function.name,
                "it is called with fewer inputs than it declares",
                "lossrt lint --fix: inline the function",
                rules.reference(("checkers", "rtx-1.7")),
            )
        if not target.functions:
            yield Finding(
                target.name,
                "local-function",
                "refused",
                path,
                function.name,
                "model-local functions are unknown before TensorRT 9.0: its nodes need a plugin of that name",
                "lossrt lint --fix: inline the function",
                rules.reference(("changelog",)),
            )
        elif rules.operator_known(function.name, target) or names.count(function.name) > 1:
            twin = "ONNX's operator" if rules.operator_known(function.name, target) else "another domain's function"
            yield Finding(
                target.name,
                "function-name",
                "silently_wrong",
                path,
                function.name,
                f"the parser looks at the name alone: {twin} of the name '{function.name}' runs in its place",
                "lossrt lint --fix: inline the function; or rename it",
                rules.reference(("rtx-1.7", "checkers")),
            )


def _short_calls(model: onnx.ModelProto) -> set[str]:
    """Return the local functions that some node calls with fewer inputs than they declare."""
    inputs = {(function.domain, function.name): len(function.input) for function in model.functions}
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    return {
        f"{node.domain}::{node.op_type}"
        for node in nodes
        if len(node.input) < inputs.get((node.domain, node.op_type), 0)
    }


def opset_finding(opset: int, target: Target, rules: RuleSet) -> Finding | None:
    """Return the finding for a model whose opset lies outside what the parser documents.

    Args:
        opset: The model's opset of the standard domain.
        target: The parser.
        rules: The facts.
    """
    lowest = 9 if target.version >= (9, 0) else 7
    if lowest <= opset <= target.opset:
        return None
    how = f"opset {opset}: {target.runtime} documents {lowest} to {target.opset}"
    fix = (
        f"lossrt lint --fix: convert to opset {target.opset}"
        if opset > lowest
        else f"convert to opset {lowest} or later"
    )
    return Finding(
        target.name,
        "opset",
        "risk",
        "",
        "",
        how,
        fix,
        rules.reference(("ops-8.5", "ops-10.3", "ops-10.8", "ops-10.15")),
    )


def newer_form_finding(node: NodeView, target: Target, rules: RuleSet) -> Finding | None:
    """Return the finding for a node that uses what its operator got after the parser's opset.

    The parser reads the older form: attributes and inputs that it does not know are ignored.
    """
    if node.opset <= target.opset or not node.is_standard:
        return None
    try:
        older = onnx.defs.get_schema(node.op, target.opset)
    except onnx.defs.SchemaError:
        return None
    news = [f"attribute {entry.name}" for entry in node.proto.attribute if entry.name not in older.attributes]
    if len(node.proto.input) > older.max_input:
        news += [f"input '{name}'" for name in node.proto.input[older.max_input :] if name]
    # An even split means the same with and without the attribute; the uneven one has a rule of its own.
    news = [name for name in news if (node.op, name) != ("Split", "attribute num_outputs")]
    if not news:
        return None
    return _found(
        node,
        target,
        rules,
        "newer-form",
        "silently_wrong",
        f"{', '.join(news)} came after opset {target.opset} and is ignored: the node means something else here",
        f"lossrt lint --fix: convert to opset {target.opset}",
        ("code-8.5", "onnx"),
    )


def _unsupported(node: NodeView, target: Target, rules: RuleSet) -> Finding:
    since = rules.operator_since(node.op)
    plugin = target.is_rtx and since
    known = f" (known since TensorRT {since})" if since and not target.is_rtx else ""
    reason = (
        "it is a plugin in TensorRT, and TensorRT for RTX has none" if plugin else f"the parser has no importer{known}"
    )
    fix = _DEFORMABLE["rtx" if target.is_rtx else "old"] if node.op == "DeformConv" else "write it with other operators"
    sources = ("rtx-1.7",) if target.is_rtx else ("ops-8.5", "ops-10.3", "changelog")
    return _found(node, target, rules, "unsupported-operator", "refused", f"{node.op}: {reason}", fix, sources)


def _custom(node: NodeView, target: Target, rules: RuleSet) -> Finding:
    name = f"'{node.proto.domain}::{node.op}'"
    fix = "write it with standard operators, as a model-local function if it must stay one node"
    if not target.is_rtx:
        fix += ", or load its plugin with --plugin LIB.so"
    if node.op in rules.deformable:
        fix = _DEFORMABLE["rtx" if target.is_rtx else "new" if target.version >= (10, 1) else "old"]
    message = f"{name} is no ONNX operator, and the model has no function of that name: only a plugin could run it"
    sources = ("rtx-1.7",) if target.is_rtx else ("checkers", "code-8.5")
    return _found(node, target, rules, "custom-operator", "refused", message, fix, sources)


def _found(
    node: NodeView,
    target: Target,
    rules: RuleSet,
    rule: str,
    consequence: Consequence,
    message: str,
    fix: str,
    sources: tuple[str, ...],
) -> Finding:
    return Finding(target.name, rule, consequence, node.path, node.op, message, fix, rules.reference(sources))
