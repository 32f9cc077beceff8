"""Walk a graph node by node, twice at once: in float64, and rounded to each tensor's own type after every operator.

Both runs compute an operator in float64 on their own operands; the half-width run then rounds its result once. So the
rounding is that of a perfect half-width operator: what fails here fails in every backend that keeps these types between
operators, however wide it accumulates inside one. If, Loop and Scan run whole: nothing is rounded inside them, only their
outputs are.

The wide run takes inputs as deployed, rounded to the type (where that alone does no harm), and constants as in the file:
faults of the data are told at the input, faults of the conversion at the node.
"""

__all__ = ["Visit", "walk"]

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from lossrt.validators.precision.blame import carried_levels
from lossrt.validators.precision.conversion import is_float
from lossrt.validators.precision.judgement import Fault, Tensor, judge_constant, judge_tensor, round_to
from lossrt.validators.precision.operators import Operator
from lossrt.validators.precision.plan import Plan, round_feeds


@dataclass(frozen=True, slots=True)
class Visit:
    """One tensor, as the walk passes it.

    Attributes:
        name: Its name.
        tensor: Its value in both runs.
        faults: What is wrong with it.
        node: The node that computes it, or the first one that reads a constant; None for an input.
    """

    name: str
    tensor: Tensor
    faults: tuple[Fault, ...]
    node: onnx.NodeProto | None


def walk(plan: Plan, feeds: Mapping[str, NDArray[Any]]) -> Iterator[Visit]:
    """Yield every tensor of the graph in order: inputs, constants, then the nodes' outputs.

    A tensor is dropped after its last reader, so that memory stays at what is alive.

    Raises:
        InputError: Inputs are missing or do not fit, or an operator cannot be evaluated.
    """
    values: dict[str, Tensor] = {}
    for visit in (*_inputs(plan, feeds), *_constants(plan)):
        values[visit.name] = visit.tensor
        yield visit
    readers = Counter(name for operator in plan.operators for name in operator.reads)
    for operator in plan.operators:
        for visit in _step(plan, operator, values):
            if readers[visit.name]:
                values[visit.name] = visit.tensor
            yield visit
        for name in operator.reads:
            readers[name] -= 1
            if not readers[name]:
                del values[name]


def _inputs(plan: Plan, feeds: Mapping[str, NDArray[Any]]) -> Iterator[Visit]:
    for name, (given, narrow) in round_feeds(plan, feeds).items():
        if not is_float(narrow.dtype):
            yield Visit(name, Tensor(narrow, narrow, np.zeros(narrow.shape, np.uint8)), (), None)
            continue
        rounded = narrow.astype(np.float64)
        if plan.mode == "as written":
            # The graph is given such inputs: only what they cannot hold is a fault.
            given = np.where(np.isinf(rounded), given, rounded)
        sensitive = name in plan.sensitive
        levels, faults = judge_constant(given, narrow, roundoff=plan.roundoff, sensitive=sensitive, lone=False)
        deployed = np.where(levels > 0, given, rounded)
        yield Visit(name, Tensor(deployed, narrow, levels), faults, None)


def _constants(plan: Plan) -> Iterator[Visit]:
    readers: dict[str, onnx.NodeProto] = {}
    for operator in plan.operators:
        for name in operator.reads:
            readers.setdefault(name, operator.node)
    for proto in plan.graph.initializer:
        array = numpy_helper.to_array(proto)
        if not is_float(array.dtype):
            yield Visit(proto.name, Tensor(array, array, np.zeros(array.shape, np.uint8)), (), None)
            continue
        wide = array.astype(np.float64)
        narrow = round_to(wide, plan.dtype_of(proto.name, array.dtype))
        sensitive, lone = proto.name in plan.sensitive, array.size == 1
        levels, faults = judge_constant(wide, narrow, roundoff=plan.roundoff, sensitive=sensitive, lone=lone)
        yield Visit(proto.name, Tensor(wide, narrow, levels), faults, readers.get(proto.name))


def _step(plan: Plan, operator: Operator, values: Mapping[str, Tensor]) -> Iterator[Visit]:
    operands = {name: values[name] for name in operator.reads}
    exact = operator.run({name: _widened(tensor.narrow) for name, tensor in operands.items()})
    alike = all(tensor.wide is tensor.narrow for tensor in operands.values())
    wide = exact if alike else operator.run({name: tensor.wide for name, tensor in operands.items()})
    carried = carried_levels(operator, operands, [array.shape for array in exact])
    for name, expected, result, levels in zip(filter(None, operator.node.output), wide, exact, carried, strict=False):
        narrow = round_to(result, plan.dtype_of(name, result.dtype)) if is_float(result.dtype) else result
        sensitive = name in plan.sensitive
        own, faults = judge_tensor(expected, result, narrow, levels, roundoff=plan.roundoff, sensitive=sensitive)
        # Equal integers share one array, so that what depends on them alone runs once.
        same = not is_float(narrow.dtype) and not faults
        yield Visit(name, Tensor(narrow if same else expected, narrow, own), faults, operator.node)


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float64) if is_float(array.dtype) else array
