import math
from xml.etree import ElementTree

from lossrt.validators.junit import junit_report
from lossrt.validators.report import make_report
from lossrt.validators.tolerances import DEFAULT_POLICY
from tests.validators.samples import engine_row, full_report, result_row


def parsed(*rows: object, **options: object) -> ElementTree.Element:
    report = make_report("0123456789abcdef", rows, policy=DEFAULT_POLICY, **options)  # type: ignore[arg-type]
    return ElementTree.fromstring(junit_report(report).encode())


def test_verdicts_become_what_ci_systems_know() -> None:
    rows = [
        result_row(),
        result_row(case="dense", error=6.6e-5),
        result_row(case="saturated", output="loss_hm", actual=math.nan, error=math.inf, ulp=math.inf),
        result_row(graph="fast_focal"),
    ]
    root = parsed(*rows)
    assert root.tag == "testsuites"
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
    }
    suite, other = root
    assert suite.get("name") == "generic_loss.fp32.ort-cpu"
    assert (suite.get("tests"), suite.get("failures"), other.get("tests")) == ("3", "1", "1")
    passed, warned, failed = suite
    assert [case.get("name") for case in suite] == ["nominal loss", "dense loss", "saturated loss_hm"]
    assert all(case.get("classname") == suite.get("name") for case in suite)
    assert list(passed) == []
    assert [child.tag for child in warned] == ["system-out"]
    assert str(warned[0].text).startswith("WARN generic_loss.fp32 loss[dense] on ort cpu: got 2.1")
    assert [child.tag for child in failed] == ["failure"]
    assert str(failed[0].get("message")).startswith("FAIL generic_loss.fp32 loss_hm[saturated] on ort cpu: got nan")
    assert "reference: 2.1" in str(failed[0].text)


def test_an_engine_that_did_not_run_is_skipped() -> None:
    root = parsed(result_row(backend="rtx", arch="sm89"), engines=[engine_row(), engine_row(arch="sm87", ran=False)])
    here, there = root
    assert [case.get("name") for case in here] == ["nominal loss", "engine B=10"]
    assert here.get("skipped") == "0"
    assert (there.get("name"), there.get("skipped")) == ("generic_loss.fp32.rtx-sm87", "1")
    assert str(there[0][0].get("message")).startswith("compiled, not run: it is for sm87")


def test_names_that_xml_cannot_hold() -> None:
    name = "<a>&\"'\x00\x1b\ufffe]]>"
    root = parsed(result_row(graph=name, case=name, output=name, error=1.0))
    assert root[0][0].get("name") == "<a>&\"'\ufffd\ufffd\ufffd]]> <a>&\"'\ufffd\ufffd\ufffd]]>"


def test_nothing_at_all() -> None:
    root = parsed()
    assert (root.get("tests"), len(root)) == ("0", 0)


def test_counts_of_a_large_report() -> None:
    report = full_report(trouble=True)
    root = ElementTree.fromstring(junit_report(report).encode())
    assert root.get("failures") == str(report.summary.fail)
    assert root.get("skipped") == str(report.summary.not_run)
    assert sum(int(str(suite.get("tests"))) for suite in root) == len(report.results) + len(report.engines)
