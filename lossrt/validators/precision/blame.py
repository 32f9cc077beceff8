"""Which operand elements stand behind each element of a result, and how bad they are."""

__all__ = ["carried_levels"]

from collections.abc import Mapping, Sequence

import numpy as np

from lossrt.passes.precision import MOVEMENT
from lossrt.validators.precision.judgement import Levels, Tensor
from lossrt.validators.precision.operators import Operator

# Operators that move values, with the operands whose values they move; None is all.
_MOVED: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys((*MOVEMENT, "DepthToSpace", "Flatten", "SpaceToDepth", "Tile"), (0,)),
    "Concat": None,
    "Pad": (0, 2),
    "Where": (1, 2),
}
# fmt: off
_ELEMENTWISE = frozenset({
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean",
    "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign",
    "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Xor",
})
# fmt: on


def carried_levels(
    operator: Operator, operands: Mapping[str, Tensor], shapes: Sequence[tuple[int, ...]]
) -> list[Levels]:
    """Return, for each output, the worst level among the operand elements behind each of its elements.

    Exact for operators that work element by element or only move values; for all others every operand element stands
    behind every output element.

    Args:
        operator: The operator.
        operands: What it reads, by name.
        shapes: Shapes of its outputs in the half-width run.
    """
    worst = max((int(tensor.levels.max(initial=0)) for tensor in operands.values()), default=0)
    op = operator.node.op_type
    if worst and op in _ELEMENTWISE:
        levels = [np.broadcast_to(tensor.levels, shapes[0]) for tensor in operands.values()]
        return [np.asarray(np.maximum.reduce(levels))]
    if worst and op in _MOVED:
        return _moved(operator, operands)
    return [np.full(shape, worst, np.uint8) for shape in shapes]


def _moved(operator: Operator, operands: Mapping[str, Tensor]) -> list[Levels]:
    """Send the levels through the operator in place of the values."""
    names, places = operator.node.input, _MOVED[operator.node.op_type]
    data = {names[place] for place in places or range(len(names)) if place < len(names)}
    values = {
        name: tensor.levels.astype(np.float64) if name in data else tensor.narrow for name, tensor in operands.items()
    }
    others = max(
        (int(tensor.levels.max(initial=0)) for name, tensor in operands.items() if name not in data), default=0
    )
    return [np.maximum(levels, others).astype(np.uint8) for levels in operator.run(values)]
