"""Run one ONNX operator on float64 arrays: exact enough that one rounding afterwards is the operator's only error.

ONNX's reference evaluator runs the operators, with replacements where it is broken:

- GatherElements selects with `np.choose`, which takes at most 64 rows ("Need at least 0 and at most 64 array objects").
  It also wraps an index outside the map silently; here that is an error.
- GatherND builds its result row by row in Python: 10 ms for 2,560 rows.
- Pad refuses negative widths, which cut off.

Conv, ConvTranspose, Gemm, MatMul and the poolings are loops or rest on float32 semantics there: they run in float32 by
ONNX Runtime, whose own rounding is far below that of a half-width type.
"""

__all__ = ["BY_RUNTIME", "Operator", "operators_of"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, shape_inference
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from lossrt.errors import InputError
from lossrt.passes.opset import STANDARD
from lossrt.runtime.ort import OrtSession
from lossrt.validators.precision.conversion import convert_floats

BY_RUNTIME = frozenset({"AveragePool", "Conv", "ConvTranspose", "Gemm", "MatMul", "MaxPool"})
"""Operators that ONNX Runtime runs in float32."""

Array = NDArray[Any]


class GatherElements(OpRun):
    """GatherElements for any number of rows; the evaluator finds the replacement by this name."""

    op_domain = ""

    def _run(self, data: Array, indices: Array, axis: int = 0) -> tuple[Array]:
        # The index may be smaller than the data on every other axis.
        axis %= data.ndim
        part = tuple(slice(None if i == axis else size) for i, size in enumerate(indices.shape))
        return (np.take_along_axis(data[part], indices, axis),)


class GatherND(OpRun):
    """GatherND as one indexing operation."""

    op_domain = ""

    def _run(self, data: Array, indices: Array, batch_dims: int = 0) -> tuple[Array]:
        inner = indices.ndim - batch_dims - 1
        batch = np.ogrid[tuple(slice(size) for size in indices.shape[:batch_dims])]
        rows = tuple(axis.reshape(axis.shape + (1,) * inner) for axis in batch)
        return (data[rows + tuple(np.moveaxis(indices, -1, 0))],)


class Pad(OpRun):
    """Pad whose negative widths cut off; before opset 11 the widths and the value are attributes."""

    op_domain = ""

    def _run(
        self,
        data: Array,
        pads: Sequence[int] | Array,
        constant_value: Array | None = None,
        axes: Array | None = None,
        mode: str = "constant",
        value: float = 0.0,
    ) -> tuple[Array]:
        padded = range(data.ndim) if axes is None else (int(axis) % data.ndim for axis in axes)
        widths = dict(zip(padded, np.asarray(pads).reshape(2, -1).T.tolist(), strict=True))
        every = [widths.get(axis, (0, 0)) for axis in range(data.ndim)]
        kept = tuple(
            slice(max(0, -low), size - max(0, -high)) for size, (low, high) in zip(data.shape, every, strict=True)
        )
        added = [(max(0, low), max(0, high)) for low, high in every]
        if mode != "constant":
            return (np.pad(data[kept], added, mode=mode),)  # type: ignore[call-overload]  # numpy's names, as ONNX has them
        fill = value if constant_value is None else constant_value.reshape(())
        return (np.pad(data[kept], added, constant_values=fill),)


_REPLACED = [GatherElements, GatherND, Pad]


@dataclass(frozen=True, slots=True)
class Operator:
    """One node of a graph, ready to run on float64 arrays.

    Attributes:
        node: The node, as in the file.
        captured: Outer values that its subgraphs read.
        evaluator: Runs it; None where ONNX Runtime does.
        opsets: Opset by domain.
    """

    node: onnx.NodeProto
    captured: tuple[str, ...]
    evaluator: Any
    opsets: Mapping[str, int]

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all values that it needs, without the omitted ones."""
        return tuple(dict.fromkeys(name for name in (*self.node.input, *self.captured) if name))

    def run(self, values: Mapping[str, Array]) -> tuple[Array, ...]:
        """Run the operator.

        Args:
            values: Its operands by name; floats as float64.

        Returns:
            Its outputs in order, floats as float64.

        Raises:
            InputError: The operator refuses these operands, or gives something else than tensors.
        """
        feeds = {name: values[name] for name in self.reads}
        try:
            with np.errstate(all="ignore"):
                results = self.evaluator.run(None, feeds) if self.evaluator else self._run_float32(feeds)
        except InputError:
            raise
        except Exception as error:  # whatever the reference implementation of an operator raises
            raise InputError(f"{self}: cannot be evaluated: {error}; check the inputs' shapes and values") from error
        if any(not isinstance(result, np.ndarray) for result in results):
            raise InputError(f"{self}: expected tensors, got a sequence; rewrite the model without sequences")
        return tuple(result.astype(np.float64) if result.dtype.kind == "f" else result for result in results)

    def _run_float32(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        narrow = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in feeds.items()}
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in narrow.items()
        ]
        graph = _one_node_graph(self.node, inputs)
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        with OrtSession(model.SerializeToString()) as session:
            return list(session.run(narrow).values())

    def __str__(self) -> str:
        return f"node '{self.node.name or next(iter(self.node.output), '')}' ({self.node.op_type})"


def operators_of(model: onnx.ModelProto) -> tuple[Operator, ...]:
    """Return the operators of the main graph, in order.

    Args:
        model: A model without local functions.

    Raises:
        InputError: Operators are unknown; all of them are named.
    """
    opsets = {"" if opset.domain in STANDARD else opset.domain: opset.version for opset in model.opset_import}
    wide = convert_floats(model, TensorProto.DOUBLE)
    types = _value_types(wide)
    found, unknown = [], []
    for node, wide_node in zip(model.graph.node, wide.graph.node, strict=True):
        captured = tuple(dict.fromkeys(_captured(node)))
        try:
            found.append(Operator(node, captured, _evaluator(wide_node, captured, types, opsets), opsets))
        except Exception:  # the evaluator raises KeyError, NotImplementedError, RuntimeError and its own
            unknown.append(f"{node.domain}::{node.op_type}" if node.domain else node.op_type)
    if unknown:
        named = ", ".join(sorted(set(unknown)))
        raise InputError(
            f"graph '{model.graph.name}': unknown operators: {named}; expected ONNX's own or local functions: export the "
            "model without them, or keep their definitions in it as functions"
        )
    return tuple(found)


def _evaluator(
    node: onnx.NodeProto, captured: Sequence[str], types: Mapping[str, onnx.TypeProto], opsets: Mapping[str, int]
) -> Any:
    if node.domain in STANDARD and node.op_type in BY_RUNTIME:
        return None
    # The types matter to operators that ONNX defines by a function of their operands' types.
    names = dict.fromkeys(name for name in (*node.input, *captured) if name)
    inputs = [onnx.ValueInfoProto(name=name, type=types.get(name)) for name in names]
    return ReferenceEvaluator(_one_node_graph(node, inputs), opsets=dict(opsets), new_ops=_REPLACED)


def _value_types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    graph = shape_inference.infer_shapes(model).graph
    types = {value.name: value.type for value in (*graph.value_info, *graph.input, *graph.output)}
    return types | {
        tensor.name: helper.make_tensor_type_proto(tensor.data_type, tensor.dims) for tensor in graph.initializer
    }


def _one_node_graph(node: onnx.NodeProto, inputs: Sequence[onnx.ValueInfoProto]) -> onnx.GraphProto:
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    return helper.make_graph([node], "operator", inputs, outputs)


def _captured(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that the node's subgraphs take from outside them."""
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            own = {value.name for value in (*graph.input, *graph.initializer)}
            for inner in graph.node:
                yield from (name for name in (*inner.input, *_captured(inner)) if name and name not in own)
                own.update(inner.output)
            yield from (value.name for value in graph.output if value.name not in own)
