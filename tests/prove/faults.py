"""The ways to get one node of a graph wrong, by kind; each looks at a site and yields what it would change there."""

__all__ = ["FAULTS", "Fault"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.prove.surgery import Edit, Nodes, Site, insert_before


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to get a node wrong.

    Attributes:
        what: What is changed, for people.
        edit: The change.
        values: The values that are read wrongly; empty where the node itself is wrong.
    """

    what: str
    edit: Edit
    values: tuple[str, ...] = ()


SWAPS = {
    "Add": ("Sub", "Mul"),
    "Sub": ("Add",),
    "Mul": ("Add", "Div"),
    "Div": ("Mul",),
    "Abs": ("Neg", "Exp"),
    "Exp": ("Sigmoid",),
    "Log": ("Sqrt",),
    "Max": ("Min", "Sum"),
    "ReduceSum": ("ReduceMean", "ReduceMax"),
}
ARITHMETIC = ("Clip", "Max", "Abs", "Exp", "Log", "Add", "Sub", "Mul", "Div")
TAKES_AXES = ("ReduceSum", "Squeeze", "Unsqueeze")


def _operator(site: Site) -> Iterator[Fault]:
    """Another operator of the same signature."""
    for other in SWAPS.get(site.node.op_type, ()):

        def edit(nodes: Nodes, node: onnx.NodeProto, other: str = other) -> None:
            node.op_type = other

        yield Fault(f"{site.node.op_type} becomes {other}", edit)


def _order(site: Site) -> Iterator[Fault]:
    """The inputs in another order, where it matters."""
    if site.node.op_type in ("Sub", "Div", "Concat") and len(set(site.node.input)) > 1:
        yield Fault("inputs rotated", lambda nodes, node: _set_inputs(node, [*node.input[1:], node.input[0]]))


def _axis(site: Site) -> Iterator[Fault]:
    """Another axis, or another permutation."""
    for attribute in site.node.attribute:
        if attribute.name == "axis":
            for axis in sorted({0, 1, 2} - {attribute.i}):
                yield Fault(f"axis {attribute.i} becomes {axis}", _attribute_edit("axis", axis))
        if attribute.name == "perm":
            for perm in ([*attribute.ints[1:], attribute.ints[0]], sorted(attribute.ints)):
                if perm != list(attribute.ints):
                    yield Fault(f"perm {list(attribute.ints)} becomes {perm}", _attribute_edit("perm", perm))
    if site.node.op_type in TAKES_AXES and len(site.node.input) > 1 and site.node.input[1] in site.constants:
        rank = len(site.types.get(site.node.input[0], (0, ()))[1]) or 3
        axes = site.constants[site.node.input[1]] % (rank + (site.node.op_type == "Unsqueeze"))
        for axis in sorted({0, 1, 2} - set(axes.tolist())):
            yield Fault(f"axes {axes.tolist()} become [{axis}]", _constant_edit(1, np.array([axis], dtype=np.int64)))


def _constant(site: Site) -> Iterator[Fault]:
    """A number gone, a little off, or doubled; an integer one off."""
    for index, name in enumerate(site.node.input):
        value = site.constants.get(name)
        if value is None or (index == 1 and site.node.op_type in TAKES_AXES):
            continue
        if value.dtype == np.float32:
            for factor in (0, 1.001, 2):
                changed = np.asarray(value * np.float32(factor), dtype=np.float32)
                yield Fault(f"constant {value:.6g} becomes {changed:.6g}", _constant_edit(index, changed))
        else:
            for place in range(value.size):
                for step in (-1, 1):
                    off = value.copy()
                    off.flat[place] += step
                    yield Fault(f"constant {value.tolist()} becomes {off.tolist()}", _constant_edit(index, off))


def _index(site: Site) -> Iterator[Fault]:
    """An integer that is read from an index, one off."""
    for index, name in enumerate(site.node.input):
        if site.types.get(name, (0, ()))[0] == TensorProto.INT64 and name not in site.constants:
            for step in (-1, 1):
                yield Fault(f"input {name} {step:+d}", _arithmetic_edit(index, "Add", np.array(step)), (name,))


def _bypass(site: Site) -> Iterator[Fault]:
    """The operator is missing: its readers get one of its inputs."""
    if site.node.op_type in ARITHMETIC:
        for name in dict.fromkeys(site.node.input):
            if name not in site.constants:

                def edit(nodes: Nodes, node: onnx.NodeProto, name: str = name) -> None:
                    node.op_type = "Identity"
                    _set_inputs(node, [name])

                yield Fault(f"only its input {name}", edit)


def _clamp(site: Site) -> Iterator[Fault]:
    """One bound of a clamp is missing."""
    if site.node.op_type == "Clip":
        low, high = list(site.node.input)[1:]
        yield Fault("no lower bound", lambda nodes, node: _set_inputs(node, [node.input[0], "", high]))
        yield Fault("no upper bound", lambda nodes, node: _set_inputs(node, [node.input[0], low]))


def _scale(site: Site) -> Iterator[Fault]:
    """A value 1.001 times too large where it is read."""
    for index, name in _floats(site):
        edit = _arithmetic_edit(index, "Mul", np.array(1.001, dtype=np.float32))
        yield Fault(f"input {name} scaled by 1.001", edit, (name,))


def _dtype(site: Site) -> Iterator[Fault]:
    """A value rounded to a narrower type where it is read."""
    for index, name in _floats(site):
        for kind in ("FLOAT16", "BFLOAT16"):

            def edit(nodes: Nodes, node: onnx.NodeProto, index: int = index, kind: str = kind) -> None:
                narrow = insert_before(nodes, node, "Cast", [node.input[index]], to=getattr(TensorProto, kind))
                node.input[index] = insert_before(nodes, node, "Cast", [narrow], to=TensorProto.FLOAT)

            yield Fault(f"input {name} rounded to {kind.lower()}", edit, (name,))


def _batch(site: Site) -> Iterator[Fault]:
    """The first image's values stand for every image's."""
    for index, name in enumerate(site.node.input):
        dims = site.types.get(name, (0, ()))[1]
        if len(dims) > 1 and dims[0] == "B":

            def edit(nodes: Nodes, node: onnx.NodeProto, index: int = index) -> None:
                whole = node.input[index]
                zero, one = (_new_constant(nodes, node, np.array([number])) for number in (0, 1))
                first = insert_before(nodes, node, "Slice", [whole, zero, one, zero])
                shape = insert_before(nodes, node, "Shape", [whole])
                node.input[index] = insert_before(nodes, node, "Expand", [first, shape])

            yield Fault(f"input {name} of the first image for all", edit, (name,))


def _rewire(site: Site) -> Iterator[Fault]:
    """The node reads another value of the same type and shape: another head's, another mask, another sum."""
    for index, name in enumerate(site.node.input):
        alike = [other for other, kind in site.types.items() if kind == site.types.get(name)]
        if site.function is None and len(alike) > 1:
            other = alike[(alike.index(name) + 1) % len(alike)]

            def edit(nodes: Nodes, node: onnx.NodeProto, index: int = index, other: str = other) -> None:
                node.input[index] = other

            yield Fault(f"reads {other} instead of {name}", edit, (name,))


FAULTS: dict[str, Callable[[Site], Iterator[Fault]]] = {
    "operator": _operator,
    "order": _order,
    "axis": _axis,
    "constant": _constant,
    "index": _index,
    "bypass": _bypass,
    "clamp": _clamp,
    "scale": _scale,
    "dtype": _dtype,
    "batch": _batch,
    "rewire": _rewire,
}


def _floats(site: Site) -> Iterator[tuple[int, str]]:
    """Yield the float values that the node computes with; of some it only asks the shape."""
    if site.node.op_type == "Shape":
        return
    for index, name in enumerate(site.node.input):
        if site.types.get(name, (0, ()))[0] == TensorProto.FLOAT and name not in site.constants:
            yield index, name


def _set_inputs(node: onnx.NodeProto, names: list[str]) -> None:
    del node.input[:]
    node.input.extend(names)


def _new_constant(nodes: Nodes, node: onnx.NodeProto, value: NDArray[Any]) -> str:
    return insert_before(nodes, node, "Constant", [], value=numpy_helper.from_array(value))


def _attribute_edit(name: str, value: int | list[int]) -> Edit:
    def edit(nodes: Nodes, node: onnx.NodeProto) -> None:
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def _constant_edit(index: int, value: NDArray[Any]) -> Edit:
    def edit(nodes: Nodes, node: onnx.NodeProto) -> None:
        node.input[index] = _new_constant(nodes, node, value)

    return edit


def _arithmetic_edit(index: int, op_type: str, value: NDArray[Any]) -> Edit:
    def edit(nodes: Nodes, node: onnx.NodeProto) -> None:
        operand = _new_constant(nodes, node, value)
        node.input[index] = insert_before(nodes, node, op_type, [node.input[index], operand])

    return edit
