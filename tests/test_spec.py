from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec, check_arrays, dim_sizes, resolve, resolved_shape

SPEC = GraphSpec(
    name="toy",
    inputs=(
        TensorSpec("pred", "float32", ("B", 3, "H", "W"), "prediction"),
        TensorSpec("ind", "int64", ("B", "M"), "target", 0, "H*W"),
        TensorSpec("cat", "int64", ("B", "M"), "target", 0, 3),
        TensorSpec("joint", "int64", ("B", "17*M"), "target", -1, None),
    ),
    outputs=(OutputSpec("loss"),),
    sizes={"B": 10, "H": 4, "W": 6, "M": 5},
)


def arrays(batch: int = 2, slots: int = 5, height: int = 4, width: int = 6) -> dict[str, NDArray[Any]]:
    return {
        "pred": np.zeros((batch, 3, height, width), np.float32),
        "ind": np.zeros((batch, slots), np.int64),
        "cat": np.zeros((batch, slots), np.int64),
        "joint": np.zeros((batch, 17 * slots), np.int64),
    }


@given(factors=st.lists(st.one_of(st.integers(0, 99), st.sampled_from(["H", "W", "M"])), min_size=1, max_size=4))
def test_resolve_multiplies(factors: list[int | str]) -> None:
    product = np.prod([SPEC.sizes[factor] if isinstance(factor, str) else factor for factor in factors])
    assert resolve("*".join(map(str, factors)), SPEC.sizes) == product


def test_resolve_leaves_numbers_alone() -> None:
    assert resolve(3, {}) == 3
    assert resolve(1e-4, {}) == 1e-4
    assert resolved_shape(("B", 3, "17*M"), {"B": 2, "M": 4}) == (2, 3, 68)


@pytest.mark.parametrize("value", ["K", "H*K", "H*", "-1", ""], ids=repr)
def test_resolve_names_what_it_does_not_know(value: str) -> None:
    with pytest.raises(InputError, match=r"dimension '.*': no size is known for '.*'; known: B, H, M, W"):
        resolve(value, SPEC.sizes)


def test_input_by_name() -> None:
    assert SPEC.input("cat").high == 3
    with pytest.raises(KeyError):
        SPEC.input("dog")


@given(batch=st.integers(1, 4), slots=st.integers(0, 6), height=st.integers(1, 5), width=st.integers(1, 5))
def test_sizes_are_read_off_the_arrays(batch: int, slots: int, height: int, width: int) -> None:
    given_arrays = arrays(batch, slots, height, width)
    expected = {"B": batch, "H": height, "W": width, "M": slots}
    assert check_arrays(SPEC, given_arrays) == expected
    assert dim_sizes(SPEC, given_arrays) == expected


def test_arrays_that_the_graph_does_not_take_are_ignored() -> None:
    check_arrays(SPEC, arrays() | {"other": np.zeros(1)})


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["fp16", "bf16"])
def test_float_inputs_may_come_in_deployed_types(dtype: type) -> None:
    check_arrays(SPEC, arrays() | {"pred": np.zeros((2, 3, 4, 6), dtype)})


ADVICE = "fix the caller, or change the recipe and re-run `make export`"


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "pred",
            np.zeros((2, 4, 4, 6), np.float32),
            f"tensor 'pred': expected float32[B=2, 3, H=4, W=6], got float32[2, 4, 4, 6]; {ADVICE}",
        ),
        (
            "pred",
            np.zeros((2, 3, 4, 6)),
            f"tensor 'pred': expected float32[B=2, 3, H=4, W=6], got float64[2, 3, 4, 6]; {ADVICE}",
        ),
        ("ind", np.zeros((2, 5), np.int32), f"tensor 'ind': expected int64[B=2, M=5], got int32[2, 5]; {ADVICE}"),
        ("ind", np.zeros((3, 5), np.int64), f"tensor 'ind': expected int64[B=2, M=5], got int64[3, 5]; {ADVICE}"),
        ("cat", np.zeros((2, 4), np.int64), f"tensor 'cat': expected int64[B=2, M=5], got int64[2, 4]; {ADVICE}"),
        ("cat", np.zeros((2, 5, 1), np.int64), f"tensor 'cat': expected int64[B=2, M=5], got int64[2, 5, 1]; {ADVICE}"),
        (
            "joint",
            np.zeros((2, 5), np.int64),
            f"tensor 'joint': expected int64[B=2, 17*M=85], got int64[2, 5]; {ADVICE}",
        ),
    ],
    ids=["channels", "float64", "int32", "batch", "slots", "rank", "product"],
)
def test_wrong_shape_or_type(name: str, array: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_arrays(SPEC, arrays() | {name: array})
    assert str(caught.value) == message


def test_missing_array() -> None:
    given_arrays = arrays()
    del given_arrays["cat"]
    with pytest.raises(InputError) as caught:
        check_arrays(SPEC, given_arrays)
    assert str(caught.value) == "tensor 'cat': expected among the inputs of graph 'toy', got ind, joint, pred; add it"
    with pytest.raises(InputError, match="got nothing"):
        check_arrays(SPEC, {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ind", 24, "tensor 'ind': expected every value in [0, H*W=24), got 24 at (1, 3); "),
        ("ind", -1, "tensor 'ind': expected every value in [0, H*W=24), got -1 at (1, 3); "),
        ("cat", 3, "tensor 'cat': expected every value in [0, 3), got 3 at (1, 3); "),
        ("joint", -2, "tensor 'joint': expected every value in [-1, None), got -2 at (1, 3); "),
    ],
    ids=["past-the-map", "negative", "class", "no-upper-bound"],
)
def test_index_out_of_range(name: str, value: int, message: str) -> None:
    given_arrays = arrays()
    given_arrays[name][1, 3:] = value
    with pytest.raises(InputError) as caught:
        check_arrays(SPEC, given_arrays)
    assert str(caught.value).startswith(message)
    check_arrays(SPEC, given_arrays, values=False)


def test_the_range_follows_the_map_that_came() -> None:
    given_arrays = arrays(height=5)
    given_arrays["ind"][:] = 29
    check_arrays(SPEC, given_arrays)
