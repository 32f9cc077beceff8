import io
import math

from rich.console import Console

from lossrt.validators.report import Report, make_report
from lossrt.validators.table import MOST_LINES, report_view
from lossrt.validators.tolerances import DEFAULT_POLICY
from tests.validators.samples import engine_row, result_row


def shown(report: Report, *, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(report_view(report))
    return stream.getvalue()


def test_case_names_in_brackets_survive_the_terminal() -> None:
    report = make_report("ab", [result_row(output="loss_reg", error=1.0)], policy=DEFAULT_POLICY)
    assert "FAIL generic_loss.fp32 loss_reg[nominal] on ort cpu" in shown(report)


def test_verdicts_engines_and_the_summary_last() -> None:
    rows = [result_row(), result_row(case="empty", error=math.inf, actual=math.inf, ulp=math.inf)]
    text = shown(make_report("ab", rows, policy=DEFAULT_POLICY, engines=[engine_row(ran=False)]))
    order = ["fp32 on ort cpu", "pass 0", "fail inf", "5,632", "FAIL generic_loss", "2 comparisons: 1 pass"]
    places = [text.index(piece) for piece in order]
    assert places == sorted(places)


def test_engines_fit_eighty_columns() -> None:
    report = make_report("ab", [], policy=DEFAULT_POLICY, engines=[engine_row(graph="reg_weighted_l1", dims="B=1..10")])
    line = next(line for line in shown(report, width=80).splitlines() if "rtx sm89" in line)
    assert line.split() == ["reg_weighted_l1.fp32", "rtx", "sm89", "B=1..10", "3", "5,632", "975,684", "4.2", "yes"]


def test_many_problems_are_cut_and_said_to_be() -> None:
    rows = [result_row(case=f"case{n}", error=1.0) for n in range(MOST_LINES + 5)]
    text = shown(make_report("ab", rows, policy=DEFAULT_POLICY))
    assert text.count("FAIL ") == MOST_LINES
    assert "and 5 more; all of them are in report.md" in text
