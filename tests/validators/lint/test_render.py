import io
import json
from xml.etree import ElementTree

from rich.console import Console

from lossrt.validators.lint.findings import Finding
from lossrt.validators.lint.junit import junit_from_report
from lossrt.validators.lint.real_parser import ParserAnswer
from lossrt.validators.lint.render import json_from_report, table_from_report
from lossrt.validators.lint.report import LintReport


def finding(target: str, rule: str, consequence: str, node: str, message: str = "m") -> Finding:
    return Finding(target, rule, consequence, node, "Op", message, "mend [it]", "https://example.org/why")


REPORT = LintReport(
    "model <1>.onnx",
    ("jetpack5", "rtx"),
    (
        finding("jetpack5", "scatter", "silently_wrong", "a", "drops [/bold] \x07"),
        finding("jetpack5", "index", "risk", "b"),
        finding("rtx", "scatter", "refused", "a"),
        finding("rtx", "index", "risk", "c"),
        *(finding("rtx", "index", "risk", f"more_{k}") for k in range(9)),
    ),
    ParserAnswer("accepted", "1.7.1"),
    "the rules refuse it, tensorrt-rtx 1.7.1 parses it",
)
CLEAN = LintReport("model.onnx", ("jetpack6",), (), None, "")


def shown(report: LintReport) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(table_from_report(report))
    return console.file.getvalue()


def test_table_one_row_a_rule_worst_first() -> None:
    text = shown(REPORT)
    assert text.index("refused") < text.index("silently wrong") < text.index("risk")
    assert text.count("index") == 1
    assert "b, c, more_0, more_1, more_2, more_3, and 5 more" in " ".join(text.split())
    assert "drops [/bold]" in text
    assert "mend [it]" in text
    assert "2 failing, 13 findings" in text
    assert "DISAGREEMENT: the rules refuse it" in text


def test_table_of_nothing() -> None:
    assert "model.onnx for jetpack6: clean, 0 findings" in shown(CLEAN)


def test_table_without_the_parser() -> None:
    missing = LintReport("m.onnx", ("rtx",), (), ParserAnswer("missing", reason="run `pip install tensorrt-rtx`"), "")
    assert "rules only for rtx: run `pip install tensorrt-rtx`" in shown(missing)


def test_json_has_everything() -> None:
    read = json.loads(json_from_report(REPORT))
    assert read["schema"] == "lossrt-lint/1"
    assert read["failed"] is True
    assert read["summary"] == {"refused": 1, "silently_wrong": 1, "risk": 11, "slow": 0}
    assert read["parser"]["status"] == "accepted"
    assert len(read["findings"]) == 13
    assert set(read["findings"][0]) == set(Finding.__dataclass_fields__)
    assert json.loads(json_from_report(CLEAN))["failed"] is False


def test_junit_is_xml_with_a_suite_a_target() -> None:
    root = ElementTree.fromstring(junit_from_report(REPORT))
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"lint jetpack5", "lint rtx"}
    assert suites["lint rtx"].get("failures") == "1"
    for suite in suites.values():
        cases = suite.findall("testcase")
        assert len(cases) == int(suite.get("tests"))
        assert sum(case.find("failure") is not None for case in cases) == int(suite.get("failures"))
    assert suites["lint jetpack5"].find("testcase/failure").get("message") == "drops [/bold] ?"
    assert "the rules refuse it" in suites["lint rtx"].find("testcase/system-out").text


def test_junit_of_nothing_passes() -> None:
    (suite,) = ElementTree.fromstring(junit_from_report(CLEAN))
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
