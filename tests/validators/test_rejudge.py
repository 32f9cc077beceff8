import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.spec import Estimate
from lossrt.validators.rejudge import rejudge
from lossrt.validators.report import Report, Result, make_report, read_report, write_report
from lossrt.validators.tolerances import DEFAULT_POLICY, Policy, Verdict, judge
from tests.validators.samples import engine_row, result_row

constants = st.sampled_from([0.0, 1e-6, 0.1, 0.5, 1.0, 3.0, 20.0, 1e4, 1e300])


def row_of(verdict: Verdict) -> Result:
    parts = {part.name: getattr(verdict, part.name) for part in fields(verdict)}
    return result_row(output=parts.pop("name"), **parts)


def report_of(*verdicts: Verdict, policy: Policy = DEFAULT_POLICY, **options: Any) -> Report:
    return make_report("ab" * 32, map(row_of, verdicts), policy=policy, **options)


def draw(seed: int, size: int, *, broken: bool) -> tuple[NDArray[Any], Estimate, NDArray[Any]]:
    """Return a candidate, what it must be and PyTorch's result: errors, scales and values of all magnitudes."""
    rng = np.random.default_rng(seed)
    value = rng.normal(0, 1, size) * 10.0 ** rng.integers(-6, 6, size)
    scale = np.abs(value) * 10.0 ** rng.uniform(0, 3, size)
    actual = value + rng.normal(0, 1, size) * 10.0 ** rng.uniform(-9, -2, size)
    reference = (value * (1 + rng.normal(0, 1e-6, size))).astype(np.float32)
    if broken:
        actual[rng.integers(size)] = math.nan
    return actual, Estimate(value=value, scale=scale, terms=int(rng.integers(1, 10**5))), reference


@given(st.integers(0, 10**6), st.integers(1, 40), st.booleans(), constants, constants, constants, constants)
def test_judging_again_is_what_a_new_run_would_say(
    seed: int, size: int, broken: bool, kappa: float, lam: float, new_kappa: float, new_lam: float
) -> None:
    actual, expected, reference = draw(seed, size, broken=broken)
    first, second = Policy(kappa=kappa, lam=lam), Policy(kappa=new_kappa, lam=new_lam)
    report = report_of(judge("loss", actual, expected, reference=reference, policy=first), policy=first)
    again = rejudge(report, kappa=new_kappa, lam=new_lam)
    wanted = row_of(judge("loss", actual, expected, reference=reference, policy=second))
    found = again.results[0]
    assert (found.verdict, found.excess) == (wanted.verdict, pytest.approx(wanted.excess, rel=1e-12))
    assert again.environment["kappa"] == new_kappa
    assert again.environment["lambda"] == new_lam
    # And back again, by way of the file: the rivals went along.
    back = rejudge(Report.model_validate_json(again.model_dump_json(by_alias=True)), kappa=kappa, lam=lam)
    assert back.results[0].excess == pytest.approx(report.results[0].excess, rel=1e-12)


def test_another_element_may_become_the_worst_one() -> None:
    # The first is off in units of its sum, the second in absolute terms: κ lets the second pass, λ the first.
    expected = Estimate(value=np.array([1e-3, 1e3]), scale=np.array([1e-3, 1e6]), terms=1)
    reference = np.array([1e-3, 1e3 + 0.01], np.float32)
    report = report_of(judge("loss", np.array([1.2e-3, 1e3 + 1.0]), expected, reference=reference))
    indices = {
        constants: rejudge(report, kappa=constants[0], lam=constants[1]).results[0].index
        for constants in ((0.0, 1.0), (4.0, 0.0))
    }
    assert indices == {(0.0, 1.0): (0,), (4.0, 0.0): (1,)}


def test_only_the_verdicts_change(tmp_path: Path) -> None:
    verdict = judge("loss", np.asarray(1.00001), Estimate(value=np.ones(()), scale=np.ones(()), terms=100))
    engines = [engine_row(ran=False)]
    environment = {"device": "paper", "tf32": True}
    report = report_of(verdict, policy=Policy(accumulate="tf32"), engines=engines, environment=environment)
    again = rejudge(report, lam=100.0)
    assert (report.summary.fail, again.summary.passed, again.summary.not_run) == (1, 1, 1)
    assert again.environment == {**report.environment, "lambda": 100.0}
    assert again.engines == report.engines
    write_report(tmp_path / "again.json", again)
    assert read_report(tmp_path / "again.json") == again


def test_nothing_given_changes_nothing() -> None:
    actual, expected, reference = draw(3, 30, broken=False)
    report = report_of(judge("loss", actual, expected, reference=reference))
    assert rejudge(report) == report


def test_a_row_without_its_parts_cannot_be_judged_again() -> None:
    report = make_report("ab", [result_row()], policy=DEFAULT_POLICY)
    with pytest.raises(InputError, match=r"generic_loss\.fp32 loss\[nominal\]: expected the parts .* run `lossrt val"):
        rejudge(report, kappa=2.0)


def test_too_many_rivals_are_refused_rather_than_guessed() -> None:
    verdict = judge("loss", np.asarray(2.0), Estimate(value=np.ones(()), scale=np.ones(()), terms=1))
    cut = replace(verdict, allowance=replace(verdict.allowance, complete=False))
    with pytest.raises(InputError, match="could be its worst one, too many to keep; run `lossrt validate` with these"):
        rejudge(report_of(cut), kappa=2.0)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_constants_must_make_sense(value: float) -> None:
    verdict = judge("loss", np.asarray(2.0), Estimate(value=np.ones(()), scale=np.ones(()), terms=1))
    with pytest.raises(InputError, match="lambda: expected a finite factor"):
        rejudge(report_of(verdict), lam=value)


def test_a_run_without_constants_needs_them() -> None:
    report = make_report("ab", [result_row()], policy=DEFAULT_POLICY).model_copy(update={"environment": {}})
    with pytest.raises(InputError, match="lambda: expected the constant of the run, got None; give --lambda"):
        rejudge(report, kappa=1.0)
