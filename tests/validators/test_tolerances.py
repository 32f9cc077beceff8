import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.errors import InputError
from lossrt.spec import Estimate
from lossrt.validators.oracle.generic import generic_loss
from lossrt.validators.tolerances import DEFAULT_POLICY, WARN_BAND, Policy, Verdict, grade, judge, ulp_at
from tests.validators.samples import recipe_of, sample_batch

U = 2.0**-24
NAN, INF = math.nan, math.inf
MEDIUM = recipe_of(input=[64, 96], max_objs=16)


def estimate(value: Any, scale: Any = None, terms: int = 1) -> Estimate:
    values = np.asarray(value, dtype=np.float64)
    scales = np.abs(values) if scale is None else np.broadcast_to(np.asarray(scale, dtype=np.float64), values.shape)
    return Estimate(value=values, scale=scales, terms=terms)


def judged(actual: Any, expected: Estimate, reference: Any = None, **options: Any) -> Verdict:
    given = None if reference is None else np.asarray(reference, dtype=np.float32)
    return judge("loss", np.asarray(actual, dtype=np.float64), expected, reference=given, **options)


@pytest.mark.parametrize(
    ("excess", "verdict"),
    [(0.0, "pass"), (1.0, "pass"), (1.0001, "warn"), (8.0, "warn"), (8.0001, "fail"), (INF, "fail")],
    ids=["exact", "edge of pass", "past it", "edge of warn", "past it too", "inf"],
)
def test_bands(excess: float, verdict: str) -> None:
    assert grade(excess * 0.25, 0.25) == verdict


def test_nan_error_fails() -> None:
    assert grade(NAN, 1.0) == "fail"


def test_growth_term() -> None:
    # A cancelling sum of 10,000 terms: the value is small, what it is made of is not.
    expected = estimate(1e-3, scale=500.0, terms=10_000)
    allowed = 100 * U * 500.0
    out = judged(1e-3 + 0.5 * allowed, expected, policy=Policy(lam=1.0))
    assert (out.verdict, out.allowed) == ("pass", pytest.approx(allowed))
    assert out.error == pytest.approx(0.5 * allowed)
    assert judged(1e-3 + 3 * allowed, expected, policy=Policy(lam=1.0)).verdict == "warn"
    assert judged(1e-3 + 9 * allowed, expected, policy=Policy(lam=1.0)).verdict == "fail"
    assert judged(1e-3 + 3 * allowed, expected, policy=Policy(lam=4.0)).verdict == "pass"


@pytest.mark.parametrize(("accumulate", "u"), [("fp32", U), ("tf32", 2.0**-11), ("fp16", 2.0**-11), ("bf16", 2.0**-8)])
def test_growth_follows_the_accumulation_type(accumulate: Any, u: float) -> None:
    out = judged(1.0, estimate(1.0, terms=1_000_000), policy=Policy(lam=1.0, accumulate=accumulate))
    assert out.allowed == pytest.approx(1000 * u)


def test_one_ulp_is_always_allowed() -> None:
    for value in (1.0, 1.9999, 4097.0, 1e-3):
        place = float(np.spacing(np.float32(value)))
        expected = estimate(float(np.float32(value)), scale=0.0)
        assert judged(float(np.float32(value)) + place, expected).verdict == "pass"
        assert judged(float(np.float32(value)) + 2 * place, expected).verdict == "warn"
        assert judged(float(np.float32(value)) + 9 * place, expected).verdict == "fail"


def test_ulp_is_that_of_the_references_type() -> None:
    half = np.asarray(1.0, dtype=np.float16)
    out = judge("gathered", np.asarray(1.0 + 2.0**-10), estimate(1.0), reference=half)
    assert (out.verdict, out.ulp) == ("pass", 1.0)
    assert judge("gathered", np.asarray(1.0 + 2.0**-10), estimate(1.0)).verdict == "fail"
    assert judge("gathered", np.asarray(1.0 + 2.0**-7), estimate(1.0), dtype=ml_dtypes.bfloat16).verdict == "pass"


def test_subnormal_floor_covers_terms_flushed_to_zero() -> None:
    expected = estimate(3e-38, scale=3e-38, terms=10)
    assert judged(0.0, expected).verdict == "pass"
    assert judged(0.0, estimate(1e-30, terms=10)).verdict == "fail"


def test_pytorchs_own_error_counts_only_when_it_is_there() -> None:
    oracle = estimate(1.0)
    off = 1.6e-5
    assert judged(1 + 2 * off, oracle, reference=1 + off, policy=Policy(kappa=4.0)).verdict == "pass"
    assert judged(1 + 2 * off, oracle, reference=1 + off, policy=Policy(kappa=1.0)).verdict == "warn"
    assert judged(1 + 2 * off, oracle, policy=Policy(kappa=4.0)).verdict == "fail"
    # Rounding the oracle to the output's type stands in for no PyTorch result.
    assert judged(1.0, estimate(1 + 0.25 * U), policy=Policy(kappa=1e9)).allowed < 4 * U


def test_pytorchs_error_is_pooled_over_the_elements() -> None:
    oracle = estimate(np.ones(4), scale=0.0)
    reference = np.ones(4, np.float32)
    reference[0] += np.float32(4e-4)
    rms = abs(float(reference[0]) - 1) / 2
    out = judged([1, 1, 1, 1 + rms], oracle, reference=reference, policy=Policy(kappa=2.0))
    assert out.allowed == pytest.approx(2 * rms)
    assert out.verdict == "pass"


@pytest.mark.parametrize(
    ("actual", "reference", "oracle", "verdict"),
    [
        (NAN, NAN, NAN, "pass"),
        (NAN, NAN, 1.0, "pass"),
        (NAN, 1.0, 1.0, "fail"),
        (NAN, 1.0, NAN, "fail"),
        (1.0, NAN, NAN, "fail"),
        (1.0, NAN, 1.0, "fail"),
        (NAN, None, NAN, "pass"),
        (NAN, None, 1.0, "fail"),
        (1.0, None, NAN, "fail"),
        (INF, INF, INF, "pass"),
        (-INF, INF, INF, "fail"),
        (NAN, INF, INF, "fail"),
        (3e38, INF, INF, "fail"),
        (INF, 1.0, 1.0, "fail"),
        (INF, NAN, NAN, "fail"),
        (INF, INF, 1e39, "pass"),
        (INF, None, 1e39, "pass"),
        (INF, None, -1e39, "fail"),
        (-INF, None, -INF, "pass"),
    ],
)
def test_non_finite_matches_only_itself(actual: float, reference: float | None, oracle: float, verdict: str) -> None:
    out = judged(actual, estimate(oracle), reference=reference, policy=Policy(kappa=1e6, lam=1e6))
    assert out.verdict == verdict
    assert out.error == (0.0 if verdict == "pass" else INF)
    assert math.isfinite(out.allowed)


def test_one_nan_among_many_is_found() -> None:
    actual = np.ones((2, 3, 4))
    actual[1, 2, 0] = NAN
    out = judged(actual, estimate(np.ones((2, 3, 4))))
    assert (out.verdict, out.index) == ("fail", (1, 2, 0))
    assert math.isnan(out.actual)


def test_worst_element_is_that_with_the_largest_excess_not_the_largest_error() -> None:
    out = judged([1000.001, 1.0005], estimate([1000.0, 1.0]))
    assert out.index == (1,)
    assert out.ulp == pytest.approx(0.0005 / 2.0**-23)


def test_no_result_fails_even_where_nan_was_expected() -> None:
    out = judge("loss", None, estimate([NAN, NAN]))
    assert (out.verdict, out.error) == ("fail", INF)
    assert math.isnan(out.actual)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(InputError, match=r"output 'loss': nothing to compare, its shape is \[2, 0, 2\]"):
        judged(np.ones((2, 0, 2)), estimate(np.ones((2, 0, 2))))


@pytest.mark.parametrize("what", ["actual", "reference", "scale"])
def test_another_shape_is_an_error_and_never_broadcast(what: str) -> None:
    arrays = {"actual": np.ones(2), "reference": np.ones(2, np.float32), "scale": np.ones(2)}
    arrays[what] = np.ones((), np.float32)
    expected = Estimate(value=np.ones(2), scale=arrays["scale"].astype(np.float64), terms=1)
    with pytest.raises(InputError, match=rf"'loss': {what}: expected the oracle's shape \[2\], got \[\]"):
        judge("loss", arrays["actual"], expected, reference=arrays["reference"])


def test_strict_turns_a_warning_away() -> None:
    assert [DEFAULT_POLICY.accepts(word) for word in ("pass", "warn", "fail")] == [True, True, False]
    assert [Policy(strict=True).accepts(word) for word in ("pass", "warn", "fail")] == [True, False, False]


@pytest.mark.parametrize("value", [-1.0, NAN, INF])
def test_constants_must_make_sense(value: float) -> None:
    with pytest.raises(InputError, match="kappa: expected a finite factor"):
        Policy(kappa=value)
    with pytest.raises(InputError, match="lambda: expected a finite factor"):
        Policy(lam=value)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_ulp_is_numpys_spacing(value: float) -> None:
    if abs(value) < float(np.finfo(np.float32).max):
        assert float(ulp_at(np.asarray(value), np.float32)) == float(np.spacing(np.float32(abs(value))))


def test_ulp_at_the_ends_of_the_range() -> None:
    values = np.array([0.0, NAN, INF, 1e39, 2.0**-149])
    top = 2.0 ** (127 - 23)
    assert ulp_at(values, np.float32).tolist() == [2.0**-149, 2.0**-149, top, top, 2.0**-149]
    assert ulp_at(np.array([1.0, 0.0]), ml_dtypes.bfloat16).tolist() == [2.0**-7, 2.0**-133]


@given(
    value=st.floats(-1e6, 1e6, allow_subnormal=False),
    error=st.floats(0, 1e3),
    terms=st.integers(1, 10**6),
    scale=st.floats(0, 1e6),
)
def test_more_error_never_helps(value: float, error: float, terms: int, scale: float) -> None:
    order = {"pass": 0, "warn": 1, "fail": 2}
    expected = estimate(value, scale=scale, terms=terms)
    less, more = judged(value + error, expected), judged(value + 2 * error, expected)
    assert order[less.verdict] <= order[more.verdict]
    assert less.allowed == more.allowed > 0


def fp32_loss(arrays: dict[str, np.ndarray], **faults: Any) -> dict[str, np.ndarray]:
    """GenericLoss in plain numpy fp32, as a careful graph computes it, with room for faults."""
    f = np.float32
    mask, x, t = arrays["mask"] * f(faults.get("mask_scale", 1)), arrays["pred_hm"], arrays["hm"]
    e = np.exp(np.clip(x, np.log(f(1e-4 / 0.9999)), np.log(f(9999))))
    p, rest, log_rest = e / (e + 1), 1 / (e + 1), -np.log1p(e)
    rows = np.arange(len(x))[:, None]

    def at_slots(values: np.ndarray) -> np.ndarray:
        return values.reshape(len(x), values.shape[1], -1)[rows, arrays["cat"], arrays["ind"]]

    neg = (log_rest * p * p * (1 - t) ** 4).sum(axis=-1, dtype=f).sum(dtype=f)
    pos = (-np.log1p(1 / at_slots(e)) * at_slots(rest) ** 2 * mask).sum(dtype=f)
    out = {"loss_hm": -(pos + neg) / np.maximum(mask.sum(dtype=f), f(1))}
    for head in ("reg", "wh", "tracking", "ltrb_amodal"):
        source = faults.get("swap", {}).get(head, head)
        flat = arrays[f"pred_{source}"].reshape(len(x), -1, x.shape[2] * x.shape[3])
        taken = np.take_along_axis(flat, arrays["ind"][:, None], axis=2).transpose(0, 2, 1)
        m = arrays[f"{head}_mask"]
        share = np.abs(taken * m - arrays[head] * m) * f(faults.get("term_scale", 1))
        out[f"loss_{head}"] = share.sum(dtype=f) / (m.sum(dtype=f) + f(faults.get("epsilon", 1e-4)))
    weights = {"hm": 1, "reg": 1, "wh": 0.1, "tracking": 1, "ltrb_amodal": 0.1}
    out["loss"] = np.asarray(sum(f(w) * out[f"loss_{head}"] for head, w in weights.items()), dtype=f)
    return out


def verdicts(arrays: dict[str, np.ndarray], **faults: Any) -> dict[str, Verdict]:
    """Judge a faulty fp32 loss, with a correct one whose sums run in another order as PyTorch's."""
    oracle = generic_loss(MEDIUM, arrays)
    reference, candidate = fp32_loss(arrays), fp32_loss(arrays, **faults)
    return {
        name: judge(name, np.asarray(candidate[name]), part, reference=np.asarray(reference[name]))
        for name, part in oracle.items()
    }


def medium(seed: int, **options: Any) -> dict[str, np.ndarray]:
    return sample_batch(MEDIUM, seed, **options)


@pytest.mark.parametrize("objects", [0.0, 0.1, 1.0], ids=["empty", "few", "full"])
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_a_correct_graph_passes(spread: float, objects: float) -> None:
    for seed in range(30):
        arrays = medium(seed, spread=spread, objects=objects)
        oracle = generic_loss(MEDIUM, arrays)
        for name, value in fp32_loss(arrays).items():
            assert judge(name, np.asarray(value), oracle[name]).verdict == "pass", (seed, name)


@pytest.mark.parametrize(
    ("faults", "outputs"),
    [
        ({"mask_scale": 1.001}, {"loss", "loss_hm"}),
        ({"term_scale": 1.001}, {"loss", "loss_reg", "loss_wh", "loss_tracking", "loss_ltrb_amodal"}),
        ({"swap": {"reg": "wh", "wh": "reg"}}, {"loss", "loss_reg", "loss_wh"}),
        ({"epsilon": 1.0}, {"loss", "loss_reg", "loss_wh", "loss_tracking", "loss_ltrb_amodal"}),
    ],
    ids=["mask x 1.001", "terms x 1.001", "heads swapped", "wrong denominator"],
)
def test_planted_faults_fail(faults: dict[str, Any], outputs: set[str]) -> None:
    for seed in range(10):
        found = {name for name, out in verdicts(medium(seed), **faults).items() if out.verdict == "fail"}
        assert found == outputs, seed


def test_pytorchs_saturated_error_does_not_hide_a_scaled_mask() -> None:
    """PyTorch is 1.6e-5 off on saturated maps, and κ times that is let through; 1e-3 is still 15 times too much."""
    expected = estimate(8480.0, terms=326_400 + 2_560)
    reference = np.asarray(8480.0 * (1 + 1.6e-5), np.float32)
    good = judge("loss_hm", np.asarray(8480.0 * (1 + 3e-6), np.float32), expected, reference=reference)
    bad = judge("loss_hm", np.asarray(8480.0 * 1.001, np.float32), expected, reference=reference)
    assert (good.verdict, bad.verdict) == ("pass", "fail")
    assert bad.error / bad.allowed > WARN_BAND
