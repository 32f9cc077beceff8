"""The rewritten scatter against ONNX Runtime's own scatter-add, and against numpy in float64."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from lossrt.passes.scatter_dedupe import dedupe_scatters
from tests.passes.graphs import I32, I64, F, assert_identical, model_of, node, ops, run

RNG = np.random.default_rng(0)


def elements(data, index, axis=0, *, open_dims=False, **attributes) -> onnx.ModelProto:
    kinds = {np.dtype(np.float32): F, np.dtype(np.int64): I64, np.dtype(np.int32): I32, np.dtype(np.float16): 10}
    kind = kinds[data.dtype]

    def dims(shape):
        return ["N", *shape[1:]] if open_dims else shape

    inputs = [
        ("d", kind, dims(data.shape)),
        ("i", kinds[index.dtype], dims(index.shape)),
        ("u", kind, dims(index.shape)),
    ]
    nodes = [
        node("ScatterElements", ["d", "i", "u"], ["y"], axis=axis, name="s", **({"reduction": "add"} | attributes))
    ]
    return model_of(nodes, inputs, [("y", kind, dims(data.shape))])


def added(data, index, updates, axis):
    """Scatter-add in float64, one update after the other."""
    total = data.astype(np.float64)
    for place in np.ndindex(*index.shape):
        at = list(place)
        at[axis] = index[place]
        total[tuple(at)] += updates[place]
    return total


def reductions(model: onnx.ModelProto) -> list[str]:
    return [entry.name for n in model.graph.node for entry in n.attribute if entry.name == "reduction"]


@st.composite
def scatters(draw):
    rank = draw(st.integers(1, 3))
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=rank, max_size=rank)))
    axis = draw(st.integers(0, rank - 1))
    places = tuple(draw(st.integers(1, 7)) if k == axis else draw(st.integers(1, size)) for k, size in enumerate(shape))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    index = rng.integers(-shape[axis], shape[axis], places)
    data, updates = rng.integers(-50, 50, shape), rng.integers(-50, 50, places)
    return data, index, updates, draw(st.sampled_from([axis, axis - rank])), draw(st.booleans())


@settings(max_examples=40, deadline=None)
@given(scatters())
def test_integers_are_identical(case) -> None:
    data, index, updates, axis, open_dims = case
    model = elements(data, index, axis, open_dims=open_dims and data.shape[0] == index.shape[0])
    rewritten = dedupe_scatters(model)
    assert reductions(rewritten) == []
    assert_identical(model, rewritten, {"d": data, "i": index, "u": updates})
    np.testing.assert_array_equal(
        run(rewritten, {"d": data, "i": index, "u": updates})[0], added(data, index, updates, axis % data.ndim)
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_floats_are_equal_up_to_the_order_of_summation(axis: int, kind: type) -> None:
    shape, places = (6, 5, 7), [4, 3, 5]
    places[axis] = 64
    data = RNG.normal(size=shape).astype(np.float32)
    index = RNG.integers(-shape[axis], shape[axis], places).astype(kind)
    updates = RNG.normal(size=places).astype(np.float32)
    model = elements(data, index, axis)
    got = run(dedupe_scatters(model), {"d": data, "i": index, "u": updates})[0]
    exact = added(data, index, updates, axis)
    # Every sum has at most 65 addends of size ~1: both orders stay within n·u·Σ|addends|.
    scale = added(np.abs(data), index, np.abs(updates), axis)
    assert (np.abs(got - exact) <= 65 * 2.0**-24 * scale).all()


def test_a_single_update_a_place_is_identical() -> None:
    data, updates = RNG.normal(size=(9,)).astype(np.float32), RNG.normal(size=(4,)).astype(np.float32)
    index = np.array([7, -9, 3, 5])
    model = elements(data, index)
    assert_identical(model, dedupe_scatters(model), {"d": data, "i": index, "u": updates})


def test_nan_and_inf_stay_where_they_belong() -> None:
    data = np.zeros(5, np.float32)
    index, updates = np.array([1, 1, 3, 4]), np.array([np.nan, 1, np.inf, 2], np.float32)
    model = elements(data, index)
    assert_identical(model, dedupe_scatters(model), {"d": data, "i": index, "u": updates})


def test_one_index_from_the_start_and_one_from_the_end_meet() -> None:
    data, index, updates = np.zeros(4, np.float32), np.array([3, -1]), np.array([1, 2], np.float32)
    got = run(dedupe_scatters(elements(data, index)), {"d": data, "i": index, "u": updates})[0]
    np.testing.assert_array_equal(got, [0, 0, 0, 3])


def nd(shape, places, *, reduction="add", batch=False) -> tuple[onnx.ModelProto, dict]:
    depth = places[-1]
    index = np.stack([RNG.integers(-size, size, places[:-1]) for size in shape[:depth]], -1)
    updates = RNG.integers(-9, 9, (*places[:-1], *shape[depth:])).astype(np.float32)
    data = RNG.integers(-9, 9, shape).astype(np.float32)
    dims = ["B", *shape[1:]] if batch else shape
    inputs = [("d", F, dims), ("i", I64, places), ("u", F, updates.shape)]
    nodes = [node("ScatterND", ["d", "i", "u"], ["y"], reduction=reduction, name="s")]
    return model_of(nodes, inputs, [("y", F, dims)]), {"d": data, "i": index, "u": updates}


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    ("shape", "places"),
    [
        ((6,), (8, 1)),
        ((5, 4), (7, 1)),
        ((5, 4), (9, 2)),
        ((3, 4, 5), (2, 6, 2)),
        ((2, 3, 2), (3, 4, 3)),
        ((3, 4), (1,)),
    ],
    ids=str,
)
def test_scatter_nd(shape, places, batch: bool) -> None:
    model, feeds = nd(shape, places, batch=batch)
    rewritten = dedupe_scatters(model)
    assert reductions(rewritten) == []
    # Small whole numbers: every order of summation gives the same float.
    assert_identical(model, rewritten, feeds)


@pytest.mark.parametrize("op", ["ScatterElements", "ScatterND"])
def test_an_attribute_that_says_none_is_dropped(op: str) -> None:
    if op == "ScatterND":
        model, feeds = nd((5, 4), (1, 2), reduction="none")
    else:
        feeds = {"d": np.zeros(5, np.float32), "i": np.array([2]), "u": np.ones(1, np.float32)}
        model = elements(feeds["d"], feeds["i"], reduction="none")
    rewritten = dedupe_scatters(model)
    assert (ops(rewritten), reductions(rewritten)) == ([op], [])
    assert_identical(model, rewritten, feeds)


@pytest.mark.parametrize("reduction", ["mul", "max", "min"])
def test_other_reductions_are_left(reduction: str) -> None:
    model = elements(np.zeros(5, np.float32), np.array([2]), reduction=reduction)
    assert dedupe_scatters(model) is model


def test_a_plain_scatter_is_left() -> None:
    nodes = [node("ScatterElements", ["d", "i", "u"], ["y"])]
    model = model_of(nodes, [("d", F, [5]), ("i", I64, [2]), ("u", F, [2])], [("y", F, [5])])
    assert dedupe_scatters(model) is model


def test_a_table_that_would_be_too_large_is_left() -> None:
    assert dedupe_scatters(elements(np.zeros(5, np.float32), np.zeros(2**14, np.int64))) is not None
    model = elements(np.zeros(5, np.float32), np.zeros(2**13 + 1, np.int64))
    assert dedupe_scatters(model) is model


def test_indices_of_unknown_rank_are_left() -> None:
    nodes = [node("ScatterElements", ["d", "i", "u"], ["y"], reduction="add")]
    model = model_of(nodes, [("d", F, [5]), ("i", I64, None), ("u", F, None)], [("y", F, [5])])
    assert dedupe_scatters(model) is model


@pytest.mark.parametrize("condition", [True, False])
def test_a_scatter_in_a_branch(condition: bool) -> None:
    def branch(name: str, op: str) -> helper.GraphProto:
        inputs, more = (["d", "i", "u"], {"reduction": "add"}) if op == "ScatterElements" else (["d"], {})
        out = helper.make_tensor_value_info(name, F, [5])
        return helper.make_graph([node(op, inputs, [name], name=name, **more)], name, [], [out])

    nodes = [node("If", ["c"], ["y"], then_branch=branch("t", "ScatterElements"), else_branch=branch("e", "Neg"))]
    inputs = [("c", TensorProto.BOOL, []), ("d", F, [5]), ("i", I64, [3]), ("u", F, [3])]
    model = model_of(nodes, inputs, [("y", F, [5])])
    rewritten = dedupe_scatters(model)
    assert b"reduction" not in rewritten.SerializeToString()
    feeds = {
        "c": np.array(condition),
        "d": np.ones(5, np.float32),
        "i": np.array([1, 1, -1]),
        "u": np.ones(3, np.float32),
    }
    assert_identical(model, rewritten, feeds)


def test_two_scatters_do_not_share_names() -> None:
    nodes = [
        node("ScatterElements", ["d", "i", "u"], ["z"], reduction="add"),
        node("ScatterElements", ["z", "i", "u"], ["y"], reduction="add", name="z"),
    ]
    model = model_of(nodes, [("d", F, [5]), ("i", I64, [3]), ("u", F, [3])], [("y", F, [5])])
    feeds = {"d": np.zeros(5, np.float32), "i": np.array([1, 1, 4]), "u": np.ones(3, np.float32)}
    assert_identical(model, dedupe_scatters(model), feeds)
