import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from lossrt.validators.allowance import MOST_RIVALS, Allowance, rival_places

sizes = st.one_of(st.just(0.0), st.floats(1e-12, 1e12), st.sampled_from([1.0, 2.0, math.inf]))
finite = st.one_of(st.just(0.0), st.floats(1e-12, 1e12), st.sampled_from([1.0, 2.0]))
places = st.sampled_from([2.0**-30, 2.0**-4, 1.0, 8.0])


def beaten(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool((other >= one).all())


@given(st.lists(st.tuples(sizes, finite, places), min_size=1, max_size=30), st.data())
def test_everything_left_out_is_beaten_by_something_kept(
    rows: list[tuple[float, float, float]], data: st.DataObject
) -> None:
    errors, growth, place = (np.array(part) for part in zip(*rows, strict=True))
    worst = data.draw(st.integers(0, len(rows) - 1))
    found, complete = rival_places(errors, growth, place, worst=worst)
    with np.errstate(all="ignore"):
        ratios = np.stack([errors, np.where(errors > 0, errors / growth, 0.0), errors / place], axis=1)
    assert complete
    assert worst not in found
    assert len(set(found)) == len(found)
    for out in set(range(len(rows))) - {worst, *found}:
        assert any(beaten(ratios[out], ratios[kept]) for kept in (worst, *found)), out


def test_nothing_wrong_leaves_no_rival() -> None:
    assert rival_places(np.zeros(5), np.ones(5), np.ones(5), worst=0) == ([], True)


def test_an_infinite_error_beats_everything() -> None:
    errors = np.array([1.0, math.inf, 7.0, math.inf])
    assert rival_places(errors, np.zeros(4), np.ones(4), worst=1) == ([], True)


def test_too_many_rivals_are_owned_up_to() -> None:
    # The larger the error, the smaller it is in units of its growth: no element beats another.
    errors = np.linspace(1, 2, MOST_RIVALS + 2)
    found, complete = rival_places(errors, errors**3, np.ones(errors.size), worst=0)
    assert (len(found), complete) == (MOST_RIVALS, False)
    assert rival_places(errors[:-1], errors[:-1] ** 3, np.ones(errors.size - 1), worst=0)[1]


def test_rounding_errors_of_a_whole_map_leave_some_tens() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 200_000) * np.exp(rng.normal(0, 3, 200_000))
    growth = np.abs(values) * rng.uniform(1, 50, values.size) * 2.0**-24
    place = np.spacing(np.abs(values).astype(np.float32)).astype(np.float64)
    found, complete = rival_places(np.abs(rng.normal(0, 1, values.size)) * growth, growth, place, worst=0)
    assert complete
    assert 2 < len(found) < 100


def test_the_allowed_error_is_the_largest_part_and_finite() -> None:
    parts = Allowance(baseline=1.0, growth=3.0, place=0.5, floor=0.1)
    assert [parts.allowed(4, 1), parts.allowed(4, 2), parts.allowed(0, 0)] == [4.0, 6.0, 0.5]
    assert math.isfinite(parts.allowed(1e308, 1e308))


@pytest.mark.parametrize(
    ("part", "value"),
    [("place", "0"), ("place", "-1"), ("growth", "NaN"), ("baseline", '"inf"'), ("floor", "-1"), ("more", "1")],
)
def test_parts_from_a_file_must_make_sense(part: str, value: str) -> None:
    parts = {"baseline": "1", "growth": "1", "place": "1", "floor": "0", part: value}
    text = "{" + ", ".join(f'"{name}": {number}' for name, number in parts.items()) + "}"
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Allowance).validate_json(text)
    assert [mistake["loc"] for mistake in caught.value.errors()] == [(part,)]


@pytest.mark.parametrize("seed", range(6))
def test_a_large_output_keeps_what_comparing_all_with_all_keeps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 6000
    growth, place = 10.0 ** rng.uniform(-9, 0, count), 2.0 ** rng.integers(-40, 0, count)
    errors = growth * np.abs(rng.normal(0, 1, count)) * 10.0 ** rng.uniform(-3, 0.5, count)
    errors[rng.random(count) < 0.2] = 0
    growth[rng.random(count) < 0.01 * (seed % 2)] = 0
    worst = int(np.argmax(errors / np.maximum(growth, place)))
    found, complete = rival_places(errors, growth, place, worst=worst)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.stack([errors, errors / growth, errors / place], axis=1)
    live = np.flatnonzero(errors > 0)
    kept = [at for at in live if not (ratios[live] >= ratios[at]).all(axis=1)[live != at].any()]
    assert complete
    assert set(found) == set(kept) - {worst}
