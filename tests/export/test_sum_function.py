"""Both local functions that add up by pixel, run by ONNX Runtime, against a product with the table of equal indices."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from lossrt.export.gather_function import DOMAIN
from lossrt.export.local_functions import attach_functions
from lossrt.export.sum_function import (
    CHAINED,
    LARGEST_TABLE,
    TABLE,
    chain_function,
    rounds_for,
    table_function,
)
from lossrt.passes.inline import inline_functions

OPSET = 18
FUNCTIONS = {TABLE: table_function(opset=OPSET), CHAINED: chain_function(rounds=rounds_for(64), opset=OPSET)}
both = pytest.mark.parametrize("name", FUNCTIONS)


def model_of(name: str, dims: tuple[str | int, str | int, str | int], *, functions: bool = True) -> onnx.ModelProto:
    batch, channels, slots = dims
    node = helper.make_node(name, ["values", "ind"], ["summed"], domain=DOMAIN, name="sum")
    last = helper.make_node("Identity", ["summed"], ["out"])
    graph = helper.make_graph(
        [node, last],
        "sum",
        [
            helper.make_tensor_value_info("values", onnx.TensorProto.FLOAT, [batch, channels, slots]),
            helper.make_tensor_value_info("ind", onnx.TensorProto.INT64, [batch, slots]),
        ],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [batch, channels, slots])],
        value_info=[helper.make_tensor_value_info("summed", onnx.TensorProto.FLOAT, [batch, channels, slots])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(
        graph, opset_imports=opsets, functions=[FUNCTIONS[name]] if functions else [], ir_version=9
    )


SESSIONS = {
    name: onnxruntime.InferenceSession(
        model_of(name, ("B", "D", "S")).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for name in FUNCTIONS
}


def summed(name: str, values: NDArray[Any], ind: NDArray[np.int64]) -> NDArray[Any]:
    return SESSIONS[name].run(None, {"values": values, "ind": ind})[0]


@both
@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 64), st.integers(1, 5), st.integers(1, 40))
def test_whole_numbers_come_out_exactly(name: str, seed: int, slots: int, channels: int, pixels: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(-99, 99, (2, channels, slots)).astype(np.float32)
    ind = rng.integers(0, pixels, (2, slots))
    table = (ind[:, :, None] == ind[:, None, :]).astype(np.float32)
    np.testing.assert_array_equal(summed(name, values, ind), values @ table)


@both
def test_slots_of_one_pixel_get_one_value(name: str) -> None:
    values = np.random.default_rng(0).normal(0, 1, (1, 3, 64)).astype(np.float32)
    found = summed(name, values, np.zeros((1, 64), dtype=np.int64))
    assert (found == found[:, :, :1]).all()
    np.testing.assert_allclose(found[:, :, 0], values.astype(np.float64).sum(axis=2), rtol=1e-5)


@both
def test_nan_stays_at_its_pixel(name: str) -> None:
    values = np.ones((1, 1, 5), dtype=np.float32)
    values[0, 0, 3] = np.nan
    found = summed(name, values, np.array([[4, 2, 4, 7, 7]]))
    np.testing.assert_array_equal(found, [[[2, 1, 2, np.nan, np.nan]]])


@both
def test_standard_operators_none_of_them_a_product_or_a_scatter(name: str) -> None:
    model = inline_functions(model_of(name, ("B", 4, 64)))
    onnx.checker.check_model(model, full_check=True)
    operators = {node.op_type for node in model.graph.node}
    assert all(node.domain == "" for node in model.graph.node)
    assert operators.isdisjoint({"MatMul", "Gemm", "Einsum", "ScatterElements", "ScatterND"})


@pytest.mark.parametrize(
    ("dims", "wanted"),
    [((2, 64, 256), TABLE), ((2, 65, 256), CHAINED), (("B", 128, 500), CHAINED), (("B", 9, "S"), TABLE)],
    ids=["as-large-as-may-be", "too-large", "open-batch", "open-slots"],
)
def test_a_table_that_is_too_large_becomes_chains(dims: tuple[Any, Any, Any], wanted: str) -> None:
    assert LARGEST_TABLE == 64 * 256 * 256
    model = model_of(TABLE, dims, functions=False)
    attach_functions(model, body="elements", opset=OPSET)
    assert [node.op_type for node in model.graph.node if node.domain] == [wanted]
    (function,) = model.functions
    assert function.name == wanted
    if wanted == CHAINED:
        additions = sum(node.op_type == "Add" for node in function.node)
        assert 2**additions >= dims[2] > 2 ** (additions - 1)


@pytest.mark.parametrize(("slots", "rounds"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9)])
def test_rounds(slots: int, rounds: int) -> None:
    assert rounds_for(slots) == rounds
