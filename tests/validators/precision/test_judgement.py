import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.validators.precision.judgement import KINDS, LEVELS, judge_constant, judge_tensor, round_to

TYPES = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
ROUNDOFF = {"fp16": 2.0**-11, "bf16": 2.0**-8}
FLOATS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-2, 2),
    st.floats(-1e5, 1e5),
    st.floats(-1e-4, 1e-4),
    st.sampled_from([0.0, 1.0, 65504.0, 65520.0, 2.0**-14, 2.0**-24, 2.0**-126]),
)


def float32(value: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.float32(value))


def by_hand(wide: float, exact: float, narrow: float, dtype: np.dtype, roundoff: float) -> str:
    """The definitions of the module, one element at a time; '' for a sound element."""
    tiny = float(ml_dtypes.finfo(dtype).smallest_normal)
    if math.isnan(narrow):
        return "" if math.isnan(wide) else "nan"
    if abs(narrow) < tiny and narrow != float32(exact):
        return "underflow"
    wide = float32(wide)
    if not math.isfinite(wide):
        return ""
    if math.isinf(narrow):
        return "overflow"
    return "digits" if abs(narrow - wide) > math.sqrt(roundoff) * abs(wide) else ""


@pytest.mark.parametrize("name", list(TYPES))
@given(pairs=st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=6))
def test_each_element_is_judged_by_the_definitions(name: str, pairs: list[tuple[float, float]]) -> None:
    wide, exact = (np.array(side, np.float64) for side in zip(*pairs, strict=True))
    narrow = round_to(exact, TYPES[name])
    fine = np.zeros(wide.shape, np.uint8)
    levels, faults = judge_tensor(wide, exact, narrow, fine, roundoff=ROUNDOFF[name])
    values = narrow.astype(np.float64)
    expected = [
        by_hand(w, e, n, TYPES[name], ROUNDOFF[name])
        for w, e, n in zip(wide.tolist(), exact.tolist(), values.tolist(), strict=True)
    ]
    assert {fault.kind: fault.elements for fault in faults} == {
        kind: expected.count(kind) for kind in KINDS if kind in expected
    }
    assert [level if level > 1 else 0 for level in levels] == [LEVELS.get(kind, 0) for kind in expected]
    for fault in faults:
        assert expected[fault.index[0]] == fault.kind
        assert fault.origin == "here"
        np.testing.assert_equal(fault.wide, wide[fault.index])
        np.testing.assert_equal(fault.narrow, values[fault.index])


@pytest.mark.parametrize(
    ("carried", "origin"), [([0, 3], "here"), ([1, 3], "worsened"), ([2, 3], "worsened"), ([3, 4], "inherited")]
)
def test_origin_of_an_infinity_without_a_rounding_to_blame(carried: list[int], origin: str) -> None:
    """log(0): the exact result on the operands at hand is infinite already."""
    wide, exact = np.array([-9.2, -9.2]), np.array([-np.inf, -np.inf])
    _, (fault,) = judge_tensor(
        wide, exact, exact.astype(np.float16), np.array(carried, np.uint8), roundoff=ROUNDOFF["fp16"]
    )
    assert (fault.kind, fault.elements, fault.origin) == ("overflow", 2, origin)


@pytest.mark.parametrize(("exact", "kind"), [(1e5, "overflow"), (1e-9, "underflow")])
def test_a_rounding_is_to_blame_whatever_the_operands_were(exact: float, kind: str) -> None:
    value = np.array([exact])
    worst = np.full(1, LEVELS["nan"], np.uint8)
    _, (fault,) = judge_tensor(value, value, round_to(value, TYPES["fp16"]), worst, roundoff=ROUNDOFF["fp16"])
    assert (fault.kind, fault.origin) == (kind, "here")


def test_a_moved_subnormal_is_no_new_fault() -> None:
    value = np.array([2.0**-20])
    _, faults = judge_tensor(value, value, value.astype(np.float16), np.zeros(1, np.uint8), roundoff=2.0**-11)
    assert faults == ()


def test_what_overflows_in_float32_too_is_not_blamed_on_the_half_type() -> None:
    wide, narrow = np.array([1e40]), np.array([np.inf], np.float16)
    _, faults = judge_tensor(wide, np.array([np.inf]), narrow, np.zeros(1, np.uint8), roundoff=2.0**-11)
    assert faults == ()


def test_a_drift_of_a_quarter_of_the_bound_is_remembered() -> None:
    bound = math.sqrt(2.0**-11)
    wide = np.ones(3)
    exact = 1 + bound * np.array([0.1, 0.5, 1.5])
    levels, faults = judge_tensor(wide, exact, exact.astype(np.float16), np.zeros(3, np.uint8), roundoff=2.0**-11)
    assert levels.tolist() == [0, 1, 2]
    assert [fault.kind for fault in faults] == ["digits"]


def test_integers_and_decisions_that_differ() -> None:
    wide, narrow = np.array([2049, 7]), np.array([2048, 7])
    _, (fault,) = judge_tensor(wide, narrow, narrow, np.full(2, 2, np.uint8), roundoff=2.0**-11)
    assert (fault.kind, fault.elements, fault.index, fault.origin) == ("changed", 1, (0,), "inherited")
    _, (fault,) = judge_tensor(np.zeros((3, 1), np.int64), wide, narrow, np.zeros(2, np.uint8), roundoff=2.0**-11)
    assert (fault.kind, fault.elements, fault.wide, fault.narrow) == ("changed", 2, 3, 2)


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        (0.9999, ["constant"]),
        (-1.0001, ["constant"]),
        (1.0, []),
        (0.999, []),
        (1e-8, ["underflow"]),
        (-1e9, ["overflow"]),
        (0.1, []),
        (np.nan, []),
    ],
)
def test_constants(value: float, kinds: list[str]) -> None:
    wide = np.array(value)
    levels, faults = judge_constant(wide, round_to(wide, TYPES["fp16"]), roundoff=2.0**-11, lone=True)
    assert [fault.kind for fault in faults] == kinds
    assert (levels > 1).any() == bool(kinds)


def test_near_zero_elements_count_only_where_they_matter() -> None:
    wide, exact = np.array([100.0, -80.0, 0.01]), np.array([100.0, -80.0, 0.02])
    judge = {
        sensitive: judge_tensor(
            wide, exact, exact.astype(np.float16), np.zeros(3, np.uint8), roundoff=2.0**-11, sensitive=sensitive
        )
        for sensitive in (True, False)
    }
    assert [(fault.kind, fault.index) for fault in judge[True][1]] == [("digits", (2,))]
    assert judge[True][1][0].error == pytest.approx(1, rel=1e-2)
    assert judge[False][1] == ()
    # What reads it is told that it is off all the same.
    assert judge[False][0].tolist() == [0, 0, 1]
