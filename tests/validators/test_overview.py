import math

import pytest

from lossrt.validators.overview import (
    ENGINE_HEAD,
    engine_cells,
    excess_text,
    grids,
    problem_line,
    problem_lines,
    summary_line,
)
from lossrt.validators.report import make_report
from lossrt.validators.tolerances import DEFAULT_POLICY
from tests.validators.samples import engine_row, result_row


def test_a_cell_is_the_worst_output_of_its_case() -> None:
    rows = [
        result_row(output="loss", error=1e-6),
        result_row(output="loss_hm", error=3e-5),
        result_row(output="loss_reg", error=2e-6),
        result_row(case="empty", graph="fast_focal"),
        result_row(precision="fp16"),
    ]
    fp32, fp16 = grids(rows)
    assert (fp32.title, fp16.title) == ("fp32 on ort cpu", "fp16 on ort cpu")
    assert fp32.graphs == ("generic_loss", "fast_focal")
    assert fp32.cases == ("nominal", "empty")
    assert fp32.worst["nominal", "generic_loss"].output == "loss_hm"
    assert ("empty", "generic_loss") not in fp32.worst


@pytest.mark.parametrize(("excess", "text"), [(0.0, "0"), (0.0314, "0.031"), (4551.0, "4.6e+03"), (math.inf, "inf")])
def test_excess_is_short(excess: float, text: str) -> None:
    assert excess_text(excess) == text


def test_a_failure_in_a_line() -> None:
    place = 2.0**-22
    row = result_row(output="loss_reg", actual=2.0, error=0.1, allowed=92 * place, ulp=0.1 / place)
    assert problem_line(row) == (
        "FAIL generic_loss.fp32 loss_reg[nominal] on ort cpu: got 2, reference 2.1, "
        "4.56e+03x the allowed error (2.2e-05, 92 ulp)"
    )


def test_a_warning_without_pytorch_names_the_oracle_and_the_element() -> None:
    row = result_row(graph="gather_feat", output="gathered", index=(0, 3, 1), reference=None, error=4.4e-5, ulp=176.0)
    assert problem_line(row).startswith(
        "WARN gather_feat.fp32 gathered[nominal] at (0, 3, 1) on ort cpu: got 2.1, oracle 2.1, 2x the allowed error"
    )


def test_a_value_that_is_not_finite() -> None:
    row = result_row(actual=math.nan, error=math.inf, ulp=math.inf)
    assert problem_line(row).endswith("got nan, reference 2.1, which no tolerance covers")


def test_problems_come_worst_first_and_passes_do_not() -> None:
    rows = [result_row(case="a"), result_row(case="b", error=5e-5), result_row(case="c", error=1.0)]
    lines = problem_lines(make_report("ab", rows, policy=DEFAULT_POLICY))
    assert [line.split("[")[1][0] for line in lines] == ["c", "b"]


def test_engines_that_did_not_run_are_counted_and_shown() -> None:
    report = make_report("ab", [result_row()], policy=DEFAULT_POLICY, engines=[engine_row(ran=False), engine_row()])
    assert summary_line(report) == "1 comparison: 1 pass, 0 warn, 0 fail; 1 engine compiled, not run"
    cells = dict(zip(ENGINE_HEAD, engine_cells(engine_row(ran=False, kernels=None)), strict=True))
    assert (cells["kernels"], cells["scratch B"], cells["sizes"], cells["ran"]) == ("?", "5,632", "B=10", "no")
