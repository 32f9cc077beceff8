import numpy as np
import pytest
from onnx import TensorProto, helper

from lossrt.errors import InputError
from lossrt.passes.narrow_indices import narrow_indices
from tests.passes.graphs import I32, I64, F, assert_identical, model_of, node, ops

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def test_an_input_becomes_int32() -> None:
    nodes = [node("Gather", ["x", "i"], ["g"]), node("Add", ["i", "i"], ["j"])]
    model = model_of(nodes, [("x", F, [4, 3]), ("i", I64, [5])], [("g", F, [5, 3]), ("j", I64, [5])])
    before = model.SerializeToString()
    narrow = narrow_indices(model)
    assert model.SerializeToString() == before, "the model itself was changed"
    assert {entry.name: entry.type.tensor_type.elem_type for entry in narrow.graph.input} == {"x": F, "i": I32}
    assert ops(narrow) == ["Cast", "Gather", "Add"]
    index = np.array([3, 0, -1, 3, 2])
    assert_identical(model, narrow, {"x": X, "i": index}, {"x": X, "i": index.astype(np.int32)})


@pytest.mark.parametrize("condition", [True, False])
def test_an_input_that_a_branch_reads(condition: bool) -> None:
    def branch(name: str, op: str) -> helper.GraphProto:
        return helper.make_graph([node(op, ["i"], [name])], name, [], [helper.make_tensor_value_info(name, I64, [2])])

    nodes = [node("If", ["c"], ["y"], then_branch=branch("t", "Neg"), else_branch=branch("e", "Abs"))]
    model = model_of(nodes, [("c", TensorProto.BOOL, []), ("i", I64, [2])], [("y", I64, [2])])
    index = np.array([5, -7])
    feeds = {"c": np.array(condition), "i": index}
    assert_identical(model, narrow_indices(model), feeds, feeds | {"i": index.astype(np.int32)})


def test_a_constant_index_becomes_int32_unless_something_else_reads_it() -> None:
    nodes = [
        node("Gather", ["x", "only"], ["a"]),
        node("GatherElements", ["x", "both"], ["b"]),
        node("Add", ["both", "both"], ["c"]),
        node("GatherND", ["x", "nd"], ["d"]),
    ]
    outputs = [("a", F, [2, 3]), ("b", F, [1, 3]), ("c", I64, [1, 3]), ("d", F, [1, 3])]
    constants = {"only": np.array([0, -1]), "both": np.array([[1, 2, 3]]), "nd": np.array([[2]])}
    model = model_of(nodes, [("x", F, [4, 3])], outputs, **constants)
    narrow = narrow_indices(model)
    assert {t.name: t.data_type for t in narrow.graph.initializer} == {"only": I32, "both": I64, "nd": I64}
    assert_identical(model, narrow, {"x": X})


def test_nothing_to_do() -> None:
    model = model_of([node("Gather", ["x", "i"], ["y"])], [("x", F, [4, 3]), ("i", I32, [2])], [("y", F, [2, 3])])
    assert narrow_indices(model) is model


def test_a_constant_that_does_not_fit() -> None:
    model = model_of([node("Gather", ["x", "i"], ["y"])], [("x", F, [4, 3])], [("y", F, [1, 3])], i=np.array([2**31]))
    with pytest.raises(InputError, match="constant 'i': expected indices within int32, got 2147483648"):
        narrow_indices(model)


def test_an_input_that_is_an_output() -> None:
    model = model_of([node("Neg", ["i"], ["y"])], [("i", I64, [2])], [("y", I64, [2]), ("i", I64, [2])])
    with pytest.raises(InputError, match="input 'i': it is an output as well"):
        narrow_indices(model)
