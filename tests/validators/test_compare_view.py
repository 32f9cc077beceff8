import io
import json
import math

import pytest
from rich.console import Console

from lossrt.validators.compare import Comparison, compare
from lossrt.validators.compare_view import MOST_CHANGES, comparison_data, comparison_view
from lossrt.validators.report import make_report
from lossrt.validators.tolerances import DEFAULT_POLICY
from tests.validators.samples import engine_row, full_report, result_row


def shown(comparison: Comparison, *, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(comparison_view(comparison))
    return stream.getvalue()


def pair() -> Comparison:
    before = [result_row(), result_row(case="dense", error=2.2e-6), result_row(case="gone")]
    after = [
        result_row(backend="rtx", arch="sm89"),
        result_row(case="dense", error=6.6e-5, backend="rtx", arch="sm89"),
        result_row(case="full", error=math.inf, actual=math.inf, ulp=math.inf, backend="rtx", arch="sm89"),
    ]
    engines = [engine_row(), engine_row(graph="fast_focal", dims="B=1")], [engine_row(kernels=5)]
    old, new = (
        make_report("ab", rows, policy=DEFAULT_POLICY, engines=costs)
        for rows, costs in zip((before, after), engines, strict=True)
    )
    return compare(old, new)


def test_what_got_worse_and_by_how_much() -> None:
    assert shown(pair()).startswith("what got worse from ort cpu to rtx sm89: error in units of the allowed one\n")
    lines = [line.split() for line in shown(pair()).splitlines()]
    assert lines[2] == ["generic_loss.fp32", "loss[full]", "–", "fail", "inf", "–"]
    assert lines[3] == ["generic_loss.fp32", "loss[dense]", "pass", "0.1", "warn", "3", "30x"]
    assert ["generic_loss.fp32", "rtx", "sm89", "B=10", "3", "→", "5", "5,632", "975,684", "yes"] in lines
    assert "note: 1 of 2 engines are in one report only" in shown(pair())
    assert shown(pair()).splitlines()[-1] == "4 comparisons: 2 worse, 1 gone, 1 alike"


def test_a_long_list_is_cut_in_the_terminal_only() -> None:
    rows = [result_row(case=f"c{number}", error=error) for error in (1e-6, 1.0) for number in range(MOST_CHANGES + 7)]
    half = len(rows) // 2
    reports = [make_report("ab", part, policy=DEFAULT_POLICY) for part in (rows[:half], rows[half:])]
    found = compare(reports[0], reports[1])
    assert "and 7 more; --json has all of them" in shown(found)
    assert len(comparison_data(found)["results"]) == half


def test_runtimes_are_named_in_the_cells_where_there_are_several() -> None:
    old = make_report("ab", [result_row(), result_row(backend="rtx", arch="sm89")], policy=DEFAULT_POLICY)
    new = make_report("ab", [result_row(error=1.0), result_row(backend="rtx", arch="sm89")], policy=DEFAULT_POLICY)
    assert "pass 0 on ort cpu" in shown(compare(old, new))


def test_nothing_changed_is_one_line() -> None:
    report = full_report()
    assert shown(compare(report, report)).splitlines() == [f"{len(report.results)} comparisons: 648 alike"]


def test_the_data_is_json_and_leaves_out_what_is_alike() -> None:
    data = json.loads(json.dumps(comparison_data(pair()), allow_nan=False))
    assert data["counts"] == {"worse": 2, "grew": 0, "gone": 1, "new": 0, "better": 0, "shrank": 0, "alike": 1}
    assert [(change["kind"], change["ratio"]) for change in data["results"]] == [
        ("worse", None),
        ("worse", pytest.approx(30)),
        ("gone", None),
    ]
    assert data["results"][0]["after"]["actual"] == "inf"
    assert [change["after"] is None for change in data["engines"]] == [False, True]
    assert data["before"]["summary"] == {"pass": 3, "warn": 0, "fail": 0, "not_run": 0}
