"""The verdict on a gradient: what it must pass, and the faults that it must not."""

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.spec import Estimate
from lossrt.validators.gradient_verdict import judge_gradient
from lossrt.validators.oracle.gradients import loss_gradients
from lossrt.validators.overview import problem_line
from lossrt.validators.rejudge import rejudge
from lossrt.validators.report import Report, Result, make_report
from lossrt.validators.tolerances import Policy, Verdict, judge
from tests.validators.batches import FAMILY, random_batch
from tests.validators.samples import result_row

EXACT = loss_gradients(FAMILY["ddd"], random_batch(FAMILY["ddd"], 1))
REG, HEATMAP = EXACT["grad_pred_reg"], EXACT["grad_pred_hm"]


def rounded(expected: Estimate) -> NDArray[Any]:
    return expected.value.astype(np.float32)


def row_of(verdict: Verdict) -> Result:
    parts = {part.name: getattr(verdict, part.name) for part in fields(verdict)}
    return result_row(output=parts.pop("name"), graph="generic_loss_grad", **parts)


@pytest.mark.parametrize("name", FAMILY)
def test_the_oracle_rounded_to_float32_passes(name: str) -> None:
    recipe: Recipe = FAMILY[name]
    for output, expected in loss_gradients(recipe, random_batch(recipe, 4)).items():
        verdict = judge_gradient(output, rounded(expected), expected)
        assert verdict.verdict == "pass"
        assert verdict.direction is not None
        assert verdict.direction.wrong_zeros == 0
        wanted = 1 if expected.value[~expected.undecided].any() else None
        assert verdict.direction.cosine == (wanted and pytest.approx(1, abs=1e-12))
        assert verdict.direction.norm_ratio == (wanted and pytest.approx(1, abs=1e-6))


def test_scaled_by_a_thousandth_fails() -> None:
    for expected in EXACT.values():
        assert judge_gradient("grad", rounded(expected) * np.float32(1.001), expected).verdict == "fail"


def test_an_element_that_should_be_0_fails_however_small() -> None:
    actual = rounded(REG)
    place = int(np.flatnonzero(REG.scale == 0)[3])
    actual.flat[place] = 1e-30
    verdict = judge_gradient("grad_pred_reg", actual, REG, own_error=1.0)
    assert verdict.verdict == "fail"
    assert verdict.direction is not None
    assert verdict.direction.wrong_zeros == 1
    row = row_of(verdict)
    assert row.excess == math.inf
    assert "1 elements 0 in one and not in the other" in problem_line(row)


def test_an_element_that_is_0_and_should_not_be_fails() -> None:
    actual = rounded(REG)
    actual.flat[int(np.argmax(np.abs(REG.value)))] = 0
    verdict = judge_gradient("grad_pred_reg", actual, REG, own_error=1.0)
    assert verdict.verdict == "fail"
    assert verdict.direction is not None
    assert verdict.direction.wrong_zeros == 1


def test_a_sum_that_cancels_may_be_0_or_next_to_it() -> None:
    expected = Estimate(value=np.array([1e-18, 0.5]), scale=np.array([1.0, 0.5]), terms=16)
    for actual in ([0.0, 0.5], [3e-8, 0.5]):
        assert judge_gradient("grad", np.array(actual, dtype=np.float32), expected).verdict == "pass"


def test_a_bias_that_no_element_shows_shows_in_the_length() -> None:
    """Each element is off by less than PyTorch's worst, but all of them to one side."""
    rng = np.random.default_rng(0)
    value = rng.normal(0, 1, 10_000)
    expected = Estimate(value=value, scale=np.abs(value), terms=64)
    own_error = 1e-5
    verdict = judge_gradient("grad", (value * (1 + 3.5e-5)).astype(np.float32), expected, own_error=own_error)
    assert verdict.direction is not None
    assert verdict.direction.norm_ratio == pytest.approx(1 + 3.5e-5, rel=1e-7)
    assert verdict.direction.error == pytest.approx(3.5e-5 * np.linalg.norm(value), rel=1e-3)
    assert verdict.direction.allowed == pytest.approx(4 * own_error * 100, rel=1e-9)
    turned = value + 1e-2 * np.roll(value, 1)
    aside = judge_gradient("grad", turned.astype(np.float32), expected, own_error=own_error).direction
    assert aside is not None
    assert aside.cosine == pytest.approx(1 / math.sqrt(1 + 1e-4), rel=1e-4)
    assert aside.excess > 8


def test_either_slope_passes_on_a_kink_and_takes_no_part_in_the_direction() -> None:
    value = np.array([0.25, 0.5, -0.5])
    expected = Estimate(value=value, scale=np.array([0.5 * 2.0**24, 0.5, 0.5]), terms=16)
    assert expected.undecided.tolist() == [True, False, False]
    verdict = judge_gradient("grad", np.array([-0.25, 0.5, -0.5], dtype=np.float32), expected)
    assert verdict.verdict == "pass"
    assert verdict.direction is not None
    assert verdict.direction.cosine == pytest.approx(1, abs=1e-15)


def test_nan_matches_nan_and_nothing_else() -> None:
    value = np.array([math.nan, 1.0, 0.0])
    expected = Estimate(value=value, scale=np.array([math.nan, 1.0, 0.0]), terms=4)
    right = np.array([math.nan, 1.0, 0.0], dtype=np.float32)
    assert judge_gradient("grad", right, expected).verdict == "pass"
    for wrong in ([0.0, 1.0, 0.0], [math.nan, math.nan, 0.0], [math.nan, 1.0, math.nan]):
        assert judge_gradient("grad", np.array(wrong, dtype=np.float32), expected).verdict == "fail", wrong


def test_no_gradient_at_all_is_right_where_the_loss_has_none() -> None:
    nothing = Estimate(value=np.zeros((2, 3)), scale=np.zeros((2, 3)), terms=4)
    verdict = judge_gradient("grad", np.zeros((2, 3), dtype=np.float32), nothing)
    assert (verdict.verdict, verdict.index) == ("pass", (0, 0))
    assert verdict.direction is not None
    assert (verdict.direction.cosine, verdict.direction.norm_ratio) == (None, None)
    assert judge_gradient("grad", np.full((2, 3), 1e-12, dtype=np.float32), nothing).verdict == "fail"


def test_none_given_fails_and_another_shape_raises() -> None:
    assert judge_gradient("grad_pred_reg", None, REG).verdict == "fail"
    with pytest.raises(InputError, match="actual: expected the oracle's shape"):
        judge_gradient("grad_pred_reg", rounded(REG)[:1], REG)


def test_what_is_left_out_changes_nothing() -> None:
    """Only elements that are 0 on both sides are left out: the verdict by element is that on all of them."""
    rng = np.random.default_rng(0)
    actual = (HEATMAP.value * (1 + rng.normal(0, 1e-7, HEATMAP.value.shape))).astype(np.float32)
    part, whole = judge_gradient("grad", actual, HEATMAP), judge("grad", actual, HEATMAP)
    assert (part.index, part.error, part.allowed) == (whole.index, whole.error, whole.allowed)
    assert {rival.index for rival in part.allowance.rivals} == {rival.index for rival in whole.allowance.rivals}


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 20.0]), st.sampled_from([0.0, 0.1, 3.0, 1e4]))
def test_judging_again_is_what_a_new_run_would_say(seed: int, kappa: float, lam: float) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, REG.value.shape) * 10.0 ** rng.uniform(-9, -3)
    actual = (REG.value * (1 + noise)).astype(np.float32)
    own_error = float(10.0 ** rng.uniform(-9, -5))
    first, second = Policy(), Policy(kappa=kappa, lam=lam)
    report = report_of(judge_gradient("grad_pred_reg", actual, REG, own_error=own_error, policy=first), policy=first)
    again = rejudge(Report.model_validate_json(report.model_dump_json(by_alias=True)), kappa=kappa, lam=lam)
    wanted = row_of(judge_gradient("grad_pred_reg", actual, REG, own_error=own_error, policy=second))
    found = again.results[0]
    assert (found.verdict, found.excess) == (wanted.verdict, pytest.approx(wanted.excess, rel=1e-12))
    assert found.direction == wanted.direction


def test_a_report_whose_direction_contradicts_itself_is_refused() -> None:
    report = report_of(judge_gradient("grad_pred_reg", rounded(REG), REG), policy=Policy())
    data = report.model_dump(mode="json", by_alias=True)
    data["results"][0]["direction"]["allowed"] *= 2
    with pytest.raises(ValueError, match=r"direction: allowed error .* does not follow"):
        Report.model_validate(data, strict=False)
    data = report.model_dump(mode="json", by_alias=True)
    data["results"][0]["direction"]["wrong_zeros"] = 1
    with pytest.raises(ValueError, match="verdict 'pass' does not follow"):
        Report.model_validate(data, strict=False)


def report_of(verdict: Verdict, *, policy: Policy) -> Report:
    return make_report("ab" * 32, [row_of(verdict)], policy=policy)
