"""The first node whose value leaves its tolerance: `lossrt bisect`."""

__all__ = ["Divergence", "bisect", "first_difference"]

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lossrt.bundle import Bundle, Case
from lossrt.errors import BackendError, InputError
from lossrt.passes.extract import extract
from lossrt.passes.inline import inline_functions
from lossrt.runtime.session import Session
from lossrt.spec import GraphSpec
from lossrt.validators.matching import Pair, matched_values

OpenModel = Callable[[bytes], Session]
Difference = tuple[tuple[int, ...], float | str, float | str]
CHUNK_BYTES = 256 << 20
"""Intermediates of one graph that are held at a time; both graphs' together stay far below 2 GiB."""
UNKNOWN_BYTES = 32 << 20
SUMS = frozenset({"ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "MatMul", "Gemm", "Conv"})
MOST_TERMS = 4096
"""Terms that an operator of `SUMS` is taken to sum."""
SLACK = 8.0
"""Units of rounding that two ways to compute one value may differ by, times the square root of the terms summed."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first node that goes wrong.

    Attributes:
        case: Golden case that shows it.
        node: Name of the node in the other graph.
        op: Its operator.
        value: Name of the value.
        ours: The value's name in the bundle's graph.
        by: How the two were paired: `name` or `structure`.
        index: The worst element; `()` for a scalar, and where the shapes differ.
        actual: The other graph's value there, or its shape.
        expected: Ours, or its shape.
        torch_op: The torch operator that the node came from; empty where the file does not tell.
        source: Its source line; empty where the file does not tell.
        position: Place of the node in its graph.
        unmatched: Nodes before it that have no counterpart and could not be compared.
    """

    case: str
    node: str
    op: str
    value: str
    ours: str
    by: str
    index: tuple[int, ...]
    actual: float | str
    expected: float | str
    torch_op: str
    source: str
    position: int
    unmatched: tuple[str, ...]

    def __str__(self) -> str:
        at = f" at {list(self.index)}" if self.index else ""
        came = ", ".join(filter(None, (self.torch_op, self.source)))
        lone = (
            f"; not compared, since the bundle's graph has none like them: {', '.join(self.unmatched)}"
            if self.unmatched
            else ""
        )
        return (
            f"node '{self.node}' ({self.op}), value '{self.value}' (ours: '{self.ours}', paired by {self.by}), case "
            f"{self.case}{at}: got {self.actual}, expected {self.expected}" + (f"; from {came}" if came else "") + lone
        )


def bisect(
    bundle: Bundle,
    graph: str,
    model: onnx.ModelProto,
    *,
    open_model: OpenModel,
    precision: str = "fp32",
    cases: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> Divergence | None:
    """Find the first node of a model, in the order of its nodes, whose value differs from the bundle's graph in any case.

    Both graphs run with their inner values marked as outputs, a part at a time.

    Args:
        bundle: The bundle.
        graph: The graph that the model stands for.
        model: The model under suspicion.
        open_model: Opens a model's bytes in a runtime that can mark tensors.
        precision: Precision of the bundle's graph.
        cases: Golden cases to run; all without it.
        progress: Called with what is being done, cases done and cases in all.

    Returns:
        The earliest divergence over all cases; None where every paired value agrees.

    Raises:
        InputError: The graph, a precision or a case is unknown, nothing can be paired, or the model wants other inputs.
        BackendError: The runtime cannot run the model.
    """
    entry = bundle.entry(graph)
    if precision not in entry.cases:
        raise InputError(f"precision '{precision}': graph '{graph}' has {', '.join(entry.cases)}; name one of them")
    _check_model(model, entry.spec)
    theirs, ours = inline_functions(model), inline_functions(onnx.load(bundle.graph_path(graph, precision)))
    pairs = matched_values(theirs, ours)
    if not pairs:
        raise InputError(
            f"model '{model.graph.name}': nothing in it is computed as in graph '{graph}'; give a model of it"
        )
    order = {name: position for position, node in enumerate(theirs.graph.node) for name in node.output}
    found: Divergence | None = None
    names = cases or entry.cases[precision]
    for done, name in enumerate(names):
        progress(f"case {name}", done, len(names))
        case = bundle.case(graph, precision, name)
        # A later case can only tell of an earlier node: what lies behind the one found is of no interest.
        left = [pair for pair in pairs if found is None or order[pair.theirs] < found.position]
        found = _first_in_case(theirs, ours, left, case, open_model) or found
    return found


def _check_model(model: onnx.ModelProto, spec: GraphSpec) -> None:
    local = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if (node.domain, node.op_type) not in local and not onnx.defs.has(node.op_type, node.domain):
            raise InputError(
                f"model '{model.graph.name}': node '{node.name}': unknown operator {node.domain}::{node.op_type}"
            )
    given = {tensor.name for tensor in spec.inputs} | {tensor.name for tensor in model.graph.initializer}
    if lacking := [value.name for value in model.graph.input if value.name not in given]:
        raise InputError(
            f"model '{model.graph.name}': input '{lacking[0]}': expected one of graph '{spec.name}', which has "
            f"{', '.join(tensor.name for tensor in spec.inputs)}; give a model of that graph"
        )


def first_difference(actual: NDArray[Any], expected: NDArray[Any], *, terms: int = 1) -> Difference | None:
    """Compare one value of two graphs.

    Args:
        actual: The other graph's value.
        expected: Ours.
        terms: Terms summed into each element.

    Returns:
        The worst element with both values, or both shapes; None where they agree: integers exactly, floats within
        8·√terms·u of the largest magnitude, NaN and infinities in the same places.
    """
    if actual.shape != expected.shape:
        return (), f"shape {list(actual.shape)}", f"shape {list(expected.shape)}"
    if not actual.size:
        return None
    one, two = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(one - two)
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    error = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    allowed = 0.0
    if expected.dtype.kind not in "iub":
        finite = np.abs(two[np.isfinite(two)])
        unit = float(np.finfo(np.float32).eps) / 2 if expected.dtype == np.float32 else _unit(expected.dtype)
        allowed = SLACK * math.sqrt(terms) * unit * float(finite.max(initial=0.0))
    worst = int(np.argmax(error))
    if not error.flat[worst] > allowed:
        return None
    index = tuple(int(i) for i in np.unravel_index(worst, error.shape))
    return index, float(one.flat[worst]), float(two.flat[worst])


def _unit(dtype: np.dtype[Any]) -> float:
    return {"float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}.get(dtype.name, 2.0**-24)


def _first_in_case(
    theirs: onnx.ModelProto, ours: onnx.ModelProto, pairs: Sequence[Pair], case: Case, open_model: OpenModel
) -> Divergence | None:
    paired = {pair.theirs for pair in pairs}
    for chunk in _chunks(pairs, ours, case):
        for pair, different in _differences(theirs, ours, chunk, case, open_model):
            return _divergence(theirs, pair, different, case.name, paired)
    return None


def _differences(
    theirs: onnx.ModelProto, ours: onnx.ModelProto, chunk: Sequence[Pair], case: Case, open_model: OpenModel
) -> Iterator[tuple[Pair, Difference]]:
    """Yield the pairs of a chunk that differ, in order."""
    wanted = _run(ours, [pair.ours for pair in chunk], case.input, open_model)
    try:
        values = _run(theirs, [pair.theirs for pair in chunk], case.input, open_model)
    except (BackendError, InputError) as error:
        if len(chunk) == 1:
            yield chunk[0], ((), f"a failure: {error}", "a value")
        else:
            # One of the values cannot be computed at all; alone, those before it can.
            for pair in chunk:
                yield from _differences(theirs, ours, [pair], case, open_model)
        return
    kinds = {name: node.op_type for node in theirs.graph.node for name in node.output}
    for pair in chunk:
        terms = MOST_TERMS if kinds[pair.theirs] in SUMS else 1
        different = first_difference(values[pair.theirs], wanted[pair.ours], terms=terms)
        if different is not None:
            yield pair, different


def _divergence(
    theirs: onnx.ModelProto, pair: Pair, different: Difference, case: str, paired: Collection[str]
) -> Divergence:
    position, node = next((i, node) for i, node in enumerate(theirs.graph.node) if pair.theirs in node.output)
    index, actual, expected = different
    origin = {entry.key: entry.value for entry in node.metadata_props}
    return Divergence(
        case=case,
        node=node.name or pair.theirs,
        op=node.op_type,
        value=pair.theirs,
        ours=pair.ours,
        by=pair.by,
        index=index,
        actual=actual,
        expected=expected,
        torch_op=origin.get("lossrt.torch_op", ""),
        source=origin.get("lossrt.source", ""),
        position=position,
        unmatched=_unmatched(theirs, paired, position),
    )


def _unmatched(theirs: onnx.ModelProto, paired: Collection[str], position: int) -> tuple[str, ...]:
    before = list(theirs.graph.node)[:position]
    lone = [
        node.name for node in before if node.op_type != "Constant" and not any(name in paired for name in node.output)
    ]
    return tuple(lone[:5])


def _run(
    model: onnx.ModelProto, names: Sequence[str], feeds: Mapping[str, NDArray[Any]], open_model: OpenModel
) -> dict[str, NDArray[Any]]:
    """Compute some values of a model and nothing that they do not need."""
    with open_model(extract(model, names).SerializeToString()) as session:
        return session.run(feeds)


def _chunks(pairs: Sequence[Pair], ours: onnx.ModelProto, case: Case) -> Iterator[list[Pair]]:
    """Split the pairs so that one chunk's values fit into memory."""
    batch = max((array.shape[0] for array in case.input.values() if array.ndim), default=1)
    sizes = {value.name: _bytes(value, batch) for value in (*ours.graph.value_info, *ours.graph.output)}
    chunk: list[Pair] = []
    held = 0
    for pair in pairs:
        size = sizes.get(pair.ours, UNKNOWN_BYTES)
        if chunk and held + size > CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
        chunk.append(pair)
        held += size
    if chunk:
        yield chunk


def _bytes(value: onnx.ValueInfoProto, batch: int) -> int:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return UNKNOWN_BYTES
    dims = [dim.dim_value if dim.HasField("dim_value") else batch for dim in tensor.shape.dim]
    return 8 * math.prod(dims)
