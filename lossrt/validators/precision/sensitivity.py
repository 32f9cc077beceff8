"""Where every element's own digits matter.

A sum of signed terms leaves elements near 0 with few right digits, and mostly that is harmless: what reads them adds them
to larger ones. It is not where a logarithm, a reciprocal or a root reads them, which turn a wrong factor into a wrong
value: 1 − p before log(1 − p).
"""

__all__ = ["sensitive_tensors"]

from collections.abc import Iterable

from lossrt.passes.precision import MOVEMENT
from lossrt.validators.precision.operators import Operator

# The operand, by position, of which these need every digit.
_NEEDS = {"Div": 1, "Log": 0, "Reciprocal": 0, "Sqrt": 0}
# These hand a relative error on: their operands matter where their result does.
_HANDS_ON = MOVEMENT | {"Abs", "Cast", "Clip", "Div", "Max", "Min", "Mul", "Neg", "Pow", "Where"}


def sensitive_tensors(operators: Iterable[Operator]) -> frozenset[str]:
    """Return the names of the tensors whose every element's own digits matter to what reads them."""
    found: set[str] = set()
    for operator in reversed(tuple(operators)):
        node = operator.node
        if node.op_type in _NEEDS:
            found.update(node.input[_NEEDS[node.op_type] :][:1])
        if node.op_type in _HANDS_ON and not found.isdisjoint(node.output):
            found.update(node.input)
    return frozenset(found - {""})
