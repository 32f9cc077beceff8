import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.device.evaluate.statistics import Flag, Moments, Statistics

losses = st.floats(0, 1e3) | st.sampled_from([math.nan, math.inf, -math.inf])


@given(st.lists(losses, min_size=1, max_size=60), st.integers(2, 8), st.floats(0.5, 4))
def test_means_windows_and_flags_are_what_the_whole_list_gives(values, window, sigma):
    statistics = Statistics(["loss"], window=window, drift_sigma=sigma)
    for count in range(1, len(values) + 1):
        reading = statistics.add({"loss": values[count - 1]})
        finite = np.array([value for value in values[:count] if math.isfinite(value)])
        if not finite.size:
            assert math.isnan(reading.means["loss"])
            assert math.isnan(reading.windows["loss"])
            continue
        assert reading.means["loss"] == pytest.approx(finite.mean(), rel=1e-9, abs=1e-12)
        assert reading.windows["loss"] == pytest.approx(finite[-window:].mean(), rel=1e-9, abs=1e-12)
        kinds = [flag.kind for flag in reading.flags]
        assert (str(values[count - 1]) in kinds) == (not math.isfinite(values[count - 1]))
        before = finite[:-window]
        if len(before) < window:
            assert "drift" not in kinds
        else:
            distance, spread = abs(finite[-window:].mean() - before.mean()), before.std(ddof=1)
            margin = 1e-6 * (1 + abs(before.mean()))
            if distance > sigma * spread + margin:
                assert "drift" in kinds
            elif distance < sigma * spread - margin:
                assert "drift" not in kinds


def test_a_step_is_seen_once_the_window_has_moved_into_it():
    statistics = Statistics(["loss"], window=10, drift_sigma=3)
    rng = np.random.default_rng(0)
    flagged = []
    for frame in range(200):
        value = rng.normal(1.0, 0.1) + (1.0 if frame >= 100 else 0.0)
        reading = statistics.add({"loss": value})
        if reading.flags:
            flagged.append(frame)
            assert reading.flags[0].kind == "drift"
            assert reading.flags[0].sigmas > 3
    assert flagged
    assert 100 <= flagged[0] <= 106


def test_noise_does_not_drift():
    statistics = Statistics(["loss"], window=20, drift_sigma=3)
    rng = np.random.default_rng(1)
    assert not any(statistics.add({"loss": value}).flags for value in rng.normal(1, 0.1, 2000))


@pytest.mark.parametrize("value", [0.0, 1 / 3, 1e-30, 12345.678])
def test_what_never_changes_never_drifts(value):
    statistics = Statistics(["loss"], window=7, drift_sigma=0.1)
    assert not any(statistics.add({"loss": value}).flags for _ in range(100))


def test_a_change_after_no_spread_at_all_drifts_without_a_measure():
    statistics = Statistics(["loss"], window=2, drift_sigma=3)
    flags = [statistics.add({"loss": value}).flags for value in (1, 1, 1, 1, 2)]
    assert flags[-1] == (Flag("loss", "drift", None),)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=["nan", "inf", "-inf"])
def test_what_is_not_finite_is_flagged_and_kept_out_of_the_means(value):
    statistics = Statistics(["loss", "loss_hm"], window=4, drift_sigma=3)
    statistics.add({"loss": 1.0, "loss_hm": 3.0})
    reading = statistics.add({"loss": value, "loss_hm": 5.0})
    assert reading.flags == (Flag("loss", str(value)),)
    assert reading.means == {"loss": 1.0, "loss_hm": 4.0}
    assert reading.windows == {"loss": 1.0, "loss_hm": 4.0}


def test_moments_know_their_extremes():
    moments = Moments()
    assert moments.deviation == 0
    for value in (2.0, -1.0, 5.0):
        moments.add(value)
    assert (moments.count, moments.least, moments.most, moments.mean) == (3, -1, 5, 2)
    assert moments.deviation == pytest.approx(3)
