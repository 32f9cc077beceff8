"""Where a graph fails in half precision, predicted on the CPU: the engine of `lossrt precision`."""

__all__ = ["Finding", "OutputDrift", "Prediction", "naive_results", "predict_failures"]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lossrt.passes.precision import MOVEMENT
from lossrt.validators.precision.conversion import is_float
from lossrt.validators.precision.judgement import KINDS, ORIGINS, Fault
from lossrt.validators.precision.operators import BY_RUNTIME
from lossrt.validators.precision.plan import Mode, plan_of
from lossrt.validators.precision.walk import Visit, walk


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault at one tensor.

    Attributes:
        fault: What happened, whether it arose here, at how many elements, and the worst of them.
        node: Name of the node that computes the tensor, or that reads it where it is a constant; empty for an input.
        op: Its operator; `input` for an input.
        tensor: Name of the tensor.
        constant: True where the tensor is a constant that the node reads.
        sensitive: True where a logarithm, a reciprocal or a root reads the tensor, so that small elements matter too.
        size: Elements of the tensor.
        low: Smallest finite value in the wide run; NaN where there is none.
        high: Largest finite value.
        absmax: Largest finite magnitude.
        torch_op: The torch operator that the node came from; empty where the file does not tell.
        source: Its source line, as `file:line function`; empty where the file does not tell.
    """

    fault: Fault
    node: str
    op: str
    tensor: str
    constant: bool
    sensitive: bool
    size: int
    low: float
    high: float
    absmax: float
    torch_op: str
    source: str

    def __str__(self) -> str:
        fault = self.fault
        where = f"input '{self.tensor}'" if self.op == "input" else f"node '{self.node}' ({self.op})"
        if self.constant:
            where += f", constant '{self.tensor}'"
        came = ", ".join(filter(None, (self.torch_op, self.source)))
        index = list(fault.index)
        return (
            f"{fault.kind} ({fault.origin}) at {where}: {fault.elements} of {self.size} elements, worst {fault.narrow:.6g} "
            f"instead of {fault.wide:.6g} at {index}; range {self.low:.6g} to {self.high:.6g}"
            + (f"; from {came}" if came else "")
        )


@dataclass(frozen=True, slots=True)
class OutputDrift:
    """One float output in both runs, at its worst element.

    Attributes:
        name: Output name.
        size: Elements of the output.
        index: The element with the largest error; `()` for a scalar.
        wide: Its value in the wide run.
        narrow: Its value in the half-width run.
        error: |narrow − wide| / |wide| there; inf where only one of them is finite or wide is 0.
        nonfinite: Elements that are finite in the wide run and not in the half-width one.
    """

    name: str
    size: int
    index: tuple[int, ...]
    wide: float
    narrow: float
    error: float
    nonfinite: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """What half precision does to a graph.

    Attributes:
        dtype: `fp16` or `bf16`.
        mode: `naive`: the file is all float32 and every float tensor was converted; `as written`: the file has half-width
            tensors, and each tensor kept the type that the file gives it.
        findings: Faults, inherited ones last; among the others the worst kind first, then those with sound operands, then
            sensitive ones, then by the share of elements and how wrong they are. Operators that only move an inherited fault
            are left out.
        outputs: The graph's float outputs.
        in_float32: Operators that ONNX Runtime ran in float32 before their result was rounded; the others ran in float64.
    """

    dtype: str
    mode: Mode
    findings: tuple[Finding, ...]
    outputs: tuple[OutputDrift, ...]
    in_float32: tuple[str, ...]


def predict_failures(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]], *, dtype: str) -> Prediction:
    """Run a graph wide and in half precision, and name the nodes where the second goes wrong.

    A file that is all float32 is converted whole, as users do with `.half()` or a converter: every float tensor in the type,
    every operator's result rounded to it. A file with half-width tensors runs as written, so that operators between casts
    to float32 stay float32.

    Args:
        model: Any ONNX model, ours or a user's; local functions are inlined.
        feeds: Arrays by input name, in any float type; other names are ignored.
        dtype: `fp16` or `bf16`.

    Raises:
        InputError: The type or an operator is unknown (all operators are named), an input is missing or does not fit, or the
            file is written in the other half-width type.
    """
    plan = plan_of(model, dtype=dtype)
    wanted = [value.name for value in plan.graph.output]
    findings: list[Finding] = []
    drifts: dict[str, OutputDrift] = {}
    for visit in walk(plan, feeds):
        findings += [
            _finding(visit, fault, visit.name in plan.sensitive)
            for fault in visit.faults
            if not _only_moved(visit, fault)
        ]
        if visit.name in wanted and is_float(visit.tensor.narrow.dtype) and visit.tensor.narrow.size:
            drifts[visit.name] = _drift(visit)
    used = {operator.node.op_type for operator in plan.operators}
    return Prediction(
        dtype=dtype,
        mode=plan.mode,
        findings=tuple(sorted(findings, key=_badness)),
        outputs=tuple(drifts[name] for name in wanted if name in drifts),
        in_float32=tuple(sorted(used & BY_RUNTIME)),
    )


def naive_results(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]], *, dtype: str) -> dict[str, NDArray[Any]]:
    """Return what a graph gives after a naive conversion to half precision, operator by operator.

    Args:
        model: A float32 model.
        feeds: Arrays by input name.
        dtype: `fp16` or `bf16`.

    Returns:
        Its outputs by name, in the order of the graph, floats in that type.

    Raises:
        InputError: As for `predict_failures`.
    """
    plan = plan_of(model, dtype=dtype)
    wanted = {value.name for value in plan.graph.output}
    found = {visit.name: visit.tensor.narrow for visit in walk(plan, feeds) if visit.name in wanted}
    return {value.name: found[value.name] for value in plan.graph.output}


def _finding(visit: Visit, fault: Fault, sensitive: bool) -> Finding:
    wide, node = visit.tensor.wide, visit.node
    finite = wide[np.isfinite(wide)] if wide.dtype.kind in "fiub" else np.zeros(0)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (math.nan, math.nan)
    origin = {} if node is None else {entry.key: entry.value for entry in node.metadata_props}
    return Finding(
        fault=fault,
        node="" if node is None else node.name or node.output[0],
        op="input" if node is None else node.op_type,
        tensor=visit.name,
        constant=node is not None and visit.name not in node.output,
        sensitive=sensitive,
        size=visit.tensor.narrow.size,
        low=low,
        high=high,
        absmax=max(abs(low), abs(high)),
        torch_op=origin.get("lossrt.torch_op", ""),
        source=origin.get("lossrt.source", ""),
    )


def _only_moved(visit: Visit, fault: Fault) -> bool:
    return visit.node is not None and visit.node.op_type in MOVEMENT and fault.origin == "inherited"


def _badness(finding: Finding) -> tuple[bool, int, int, bool, float]:
    fault = finding.fault
    weight = fault.elements / finding.size * min(fault.error, 1.0)
    return (
        fault.origin == "inherited",
        KINDS.index(fault.kind),
        ORIGINS.index(fault.origin),
        not finding.sensitive,
        -weight,
    )


def _drift(visit: Visit) -> OutputDrift:
    wide, narrow = visit.tensor.wide, visit.tensor.narrow.astype(np.float64)
    with np.errstate(all="ignore"):
        gap = np.abs(narrow - wide)
    same = (narrow == wide) | (np.isnan(narrow) & np.isnan(wide))
    gap = np.where(same, 0.0, np.nan_to_num(gap, nan=math.inf, posinf=math.inf))
    worst = np.unravel_index(int(np.argmax(gap)), gap.shape)
    scale = abs(float(wide[worst]))
    error = float(gap[worst])
    return OutputDrift(
        name=visit.name,
        size=narrow.size,
        index=tuple(int(i) for i in worst),
        wide=float(wide[worst]),
        narrow=float(narrow[worst]),
        error=0.0 if error == 0 else error / scale if scale else math.inf,
        nonfinite=int((np.isfinite(wide) & ~np.isfinite(narrow)).sum()),
    )
