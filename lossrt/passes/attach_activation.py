"""Tell from a network's last operators whether it activates a head itself.

Requires: nothing of the operators. Ensures: what stands between an output and the first operator that decides it is only
walked through; where a plugin or a function decides, the answer is that it cannot be told.
"""

__all__ = ["check_activations"]

from collections.abc import Mapping

import onnx

from lossrt.errors import InputError
from lossrt.passes.head_outputs import head_keys
from lossrt.passes.opset import STANDARD
from lossrt.recipe import HEADS, Recipe

PASSED = frozenset(
    {
        "Add",
        "Cast",
        "Clip",
        "DequantizeLinear",
        "Div",
        "Identity",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "QuantizeLinear",
        "Reciprocal",
        "Reshape",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators that an activation may be followed by; of two inputs one must be a constant."""
RAW = frozenset({"BatchNormalization", "Conv", "ConvTranspose", "DeformConv", "Gemm", "MatMul", "QLinearConv"})
"""Operators whose result nobody has activated."""
OTHER = frozenset({"Elu", "Gelu", "LeakyRelu", "LogSoftmax", "PRelu", "Relu", "Selu", "Softmax", "Softsign", "Tanh"})
"""Activations that no recipe has a word for: their results are neither raw nor probabilities."""


def check_activations(network: onnx.ModelProto, heads: Mapping[str, str], recipe: Recipe) -> tuple[str, ...]:
    """Compare each mapped output's activation with the recipe's.

    Args:
        network: The network.
        heads: Output by head.
        recipe: Says `raw` or `applied` for the heads that have an activation.

    Returns:
        One warning for each output whose activation cannot be told, or that is activated though the losses take its head
        as it is.

    Raises:
        InputError: An output ends in a Sigmoid where the recipe says `raw`, in a convolution where it says `applied`, or
            in another activation; every one is named.
    """
    wrong, warnings = [], []
    for key, head in head_keys(recipe).items():
        if not HEADS[head].activated:
            warnings += _regression(network.graph, key, heads[key])
            continue
        expected = "applied" if recipe.is_applied(head) else "raw"
        last = _deciding(network.graph, heads[key])
        told = "applied" if last == "Sigmoid" else "raw" if last in RAW else ""
        start = f"network: output '{heads[key]}' (head '{key}')"
        if told and told != expected:
            wrong.append(
                f'{start}: expected activation.{head} = "{expected}", as the recipe says, got an output that ends in '
                f'{last}; set activation.{head} = "{told}" in the recipe and export the bundle again, or name the output '
                f"that is {expected} with --map {key}=OUTPUT"
            )
        elif last in OTHER:
            wrong.append(
                f"{start}: expected raw values or those of a Sigmoid, got an output that ends in {last}, which the losses "
                f"do not know; name another output with --map {key}=OUTPUT"
            )
        elif not told:
            warnings.append(
                f'{start}: ends in {last or "a value that no node makes"}, from which its activation cannot be told; the recipe says "{expected}"'
            )
    if wrong:
        raise InputError("; ".join(wrong))
    return tuple(warnings)


def _regression(graph: onnx.GraphProto, key: str, name: str) -> list[str]:
    last = _deciding(graph, name)
    if last not in OTHER | {"HardSigmoid", "Sigmoid"}:
        return []
    return [
        f"network: output '{name}' (head '{key}'): ends in {last}; the losses take this head as it is, with no bounds: see "
        "that training had it so too"
    ]


def _deciding(graph: onnx.GraphProto, name: str) -> str:
    """Return the operator that decides whether a value is activated, past what an activation may be followed by."""
    makers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {name for name, node in makers.items() if node.op_type == "Constant"}
    while name in makers:
        node = makers[name]
        read = [value for value in node.input if value and value not in constants]
        if node.domain not in STANDARD or node.op_type not in PASSED or len(read) != 1:
            return node.op_type if node.domain in STANDARD else f"{node.domain}::{node.op_type}"
        name = read[0]
    return ""
