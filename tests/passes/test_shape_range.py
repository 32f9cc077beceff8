import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper

from lossrt.passes.shape_range import expand_shape_ranges
from tests.passes.graphs import I64, F, assert_identical, model_of, node, ops

X = np.zeros((2, 3, 4, 5), np.float32)
BOUNDS = [None, 0, 1, 3, 4, 9, -1, -3, -4, -9]


@pytest.mark.parametrize(("start", "end"), [p for p in itertools.product(BOUNDS, BOUNDS) if p != (None, None)], ids=str)
def test_every_range_of_a_shape(start: int | None, end: int | None) -> None:
    given = {name: value for name, value in (("start", start), ("end", end)) if value is not None}
    model = model_of([node("Shape", ["x"], ["y"], **given)], [("x", F, X.shape)], [("y", I64, [None])], opset=17)
    before = model.SerializeToString()
    expanded = expand_shape_ranges(model)
    assert model.SerializeToString() == before, "the model itself was changed"
    assert not any(entry.attribute for entry in expanded.graph.node if entry.op_type == "Shape")
    assert_identical(model, expanded, {"x": X})


def test_a_whole_shape_stays() -> None:
    model = model_of([node("Shape", ["x"], ["y"])], [("x", F, X.shape)], [("y", I64, [4])])
    assert expand_shape_ranges(model) is model


def test_names_that_are_taken_are_left_alone() -> None:
    nodes = [node("Shape", ["x"], ["y:whole"], start=1), node("Shape", ["x"], ["y"], start=2, name="again")]
    model = model_of(nodes, [("x", F, X.shape)], [("y:whole", I64, [3]), ("y", I64, [2])])
    assert_identical(model, expand_shape_ranges(model), {"x": X})


@pytest.mark.parametrize("value", [True, False])
def test_branches_inside_branches(value: bool) -> None:
    def branch(name: str, start: int, *before) -> helper.GraphProto:
        out = helper.make_tensor_value_info(name, I64, [None])
        return helper.make_graph([*before, node("Shape", ["x"], [name], start=start)], name, [], [out])

    deep = node("If", ["c"], ["deep"], then_branch=branch("a", 1), else_branch=branch("b", 2))
    nodes = [
        node("Shape", ["x"], ["whole"], end=1),
        node("If", ["c"], ["z"], then_branch=branch("t", 3, deep), else_branch=branch("e", 2)),
        node("Concat", ["whole", "z"], ["y"], axis=0),
    ]
    model = model_of(nodes, [("c", TensorProto.BOOL, []), ("x", F, X.shape)], [("y", I64, [None])])
    expanded = expand_shape_ranges(model)
    assert b"start" not in expanded.SerializeToString().replace(b":starts", b"")
    assert_identical(model, expanded, {"c": np.array(value), "x": X})


def test_local_functions() -> None:
    body = [node("Shape", ["a"], ["b"], start=1, end=3)]
    function = helper.make_function("d", "Map", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    call = node("Map", ["x"], ["y"], domain="d")
    model = model_of([call], [("x", F, X.shape)], [("y", I64, [2])], functions=[function], domains=["d"])
    expanded = expand_shape_ranges(model)
    assert [entry.op_type for entry in expanded.functions[0].node][::4] == ["Shape", "Slice"]
    assert ops(expanded) == ["Map"]
    assert_identical(model, expanded, {"x": X})
