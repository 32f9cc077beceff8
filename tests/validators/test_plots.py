import math
import re

import pytest

from lossrt.validators.plots import ULP_BINS, excess_plot, ulp_bin, ulp_counts, ulp_plot
from tests.validators.samples import full_report, result_row

pytest.importorskip("matplotlib", reason="matplotlib is not installed; it is the extra 'report'")


@pytest.mark.parametrize(
    ("ulp", "name"),
    [
        (0.0, "0"),
        (1e-9, "½"),
        (0.5, "½"),
        (0.51, "1"),
        (2.0, "2"),
        (2.1, "4"),
        (1024.0, "1k"),
        (1e30, ">1k"),
        (math.inf, "∞"),
        (math.nan, "∞"),
    ],
)
def test_bins(ulp: float, name: str) -> None:
    assert ULP_BINS[ulp_bin(ulp)] == name


def test_every_result_is_counted_once() -> None:
    rows = [result_row(ulp=ulp) for ulp in (0.0, 0.0, 0.3, 7.0, math.inf)]
    counts = ulp_counts(rows)
    assert sum(counts) == len(rows)
    assert dict(zip(ULP_BINS, counts, strict=True))["0"] == 2


def drawn(excess: list[float], **names: str) -> str:
    rows = [result_row(error=value * 1e-6, allowed=1e-6, **names) for value in excess]
    return excess_plot(rows, salt="a")


def marks(svg: str, colour: str) -> list[tuple[float, float]]:
    found = re.findall(rf'<use xlink:href="#[^"]*" x="([^"]*)" y="([^"]*)" style="fill: var\(--{colour}\)', svg)
    return [(float(x), float(y)) for x, y in found]


def test_marks_stand_where_the_excess_is() -> None:
    svg = drawn([0.0, 1e-4, 1e-2, 1.0, 4.0, 100.0, math.inf])
    passed, warned, failed = (sorted(marks(svg, word)) for word in ("pass", "warn", "fail"))
    assert [len(passed), len(warned), len(failed)] == [4, 1, 2]
    zero, four, two, one = (x for x, _ in passed)
    assert four - zero > 0
    assert (two - four) == pytest.approx(one - two)  # a logarithmic axis
    assert one < warned[0][0] < failed[0][0] < failed[1][0]
    assert failed[0][0] - one == pytest.approx(one - two)


def test_extremes_stay_inside() -> None:
    svg = drawn([1e-300, 1e300, math.inf])
    assert all(0 < x < 255 for word in ("pass", "fail") for x, _ in marks(svg, word))


def test_covered_marks_are_drawn_once() -> None:
    assert len(marks(drawn([0.01] * 1000), "pass")) == 5
    # A failure is never covered by what passes.
    assert len(marks(drawn([1.0] * 1000 + [8.1]), "fail")) == 1


def test_colours_follow_the_page_and_text_is_text() -> None:
    svg = excess_plot(full_report(trouble=True).results[200:], salt="a")
    assert not re.findall(r"(?:fill|stroke): (?!var|none)", svg)
    assert "var(--fail)" in svg
    assert ">generic_loss</text>" in svg
    assert "<style" not in svg
    assert "font-family" not in svg
    assert "matplotlib" not in svg


def test_equal_rows_give_equal_drawings_and_salts_keep_them_apart() -> None:
    rows = full_report().results
    assert excess_plot(rows, salt="a") == excess_plot(rows, salt="a")
    names = [set(re.findall(r' id="([^"]+)"', ulp_plot(range(len(ULP_BINS)), salt=salt))) for salt in ("a", "b")]
    assert names[0]
    assert not names[0] & names[1]


@pytest.mark.parametrize("name", ["$x_1$", "<b>&", "損失", "a\x00b", "x" * 300, "-->"], ids=repr)
def test_any_name_can_be_drawn(name: str) -> None:
    svg = drawn([0.5], graph=name)
    assert svg.startswith("<svg")
    assert "<b>" not in svg


def test_settings_are_left_as_they_were() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    ulp_plot([0] * len(ULP_BINS), salt="a")
    assert dict(matplotlib.rcParams) == before
