"""`junit.xml`: the report as CI systems show it.

A test suite for each graph, precision and runtime, a test case for each case and output. JUnit knows no warning: one
passes, and its line is the test case's output. An engine that did not run is a skipped test case.
"""

__all__ = ["junit_report"]

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from lossrt.validators.overview import problem_line
from lossrt.validators.report import EngineRow, Report, Result

_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_report(report: Report) -> str:
    """Return the report as JUnit XML, with a declaration and a line break at the end."""
    root = ElementTree.Element("testsuites", name=f"lossrt {report.bundle_id[:12]}")
    groups: dict[str, tuple[list[Result], list[EngineRow]]] = {}
    for row in report.results:
        groups.setdefault(_suite_name(row), ([], []))[0].append(row)
    for engine in report.engines:
        groups.setdefault(_suite_name(engine), ([], []))[1].append(engine)
    for name, (rows, engines) in groups.items():
        cases = [*map(_case_of_result, rows), *map(_case_of_engine, engines)]
        suite = ElementTree.SubElement(root, "testsuite", {"name": _legal(name), **_counts(cases)})
        for case in cases:
            case.set("classname", _legal(name))
            suite.append(case)
    root.attrib |= _counts(root.iter("testcase"))
    ElementTree.indent(root, " ")
    return _DECLARATION + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite_name(row: Result | EngineRow) -> str:
    return f"{row.graph}.{row.precision}.{row.backend}-{row.arch}"


def _case_of_result(row: Result) -> ElementTree.Element:
    case = _case(f"{row.case} {row.output}")
    if row.verdict == "fail":
        failure = ElementTree.SubElement(case, "failure", type="parity", message=_legal(problem_line(row)))
        failure.text = _legal(_details(row))
    elif row.verdict == "warn":
        ElementTree.SubElement(case, "system-out").text = _legal(f"{problem_line(row)}\n{_details(row)}")
    return case


def _case_of_engine(engine: EngineRow) -> ElementTree.Element:
    case = _case(f"engine {engine.dims}".rstrip())
    if not engine.ran:
        why = f"compiled, not run: it is for {engine.arch}, which is not the device of this run"
        ElementTree.SubElement(case, "skipped", message=_legal(why))
    return case


def _case(name: str) -> ElementTree.Element:
    # Some readers want a time; what a comparison takes is not worth measuring.
    return ElementTree.Element("testcase", name=_legal(name), time="0")


def _details(row: Result) -> str:
    names = ("index", "actual", "reference", "oracle", "error", "allowed", "ulp")
    return "\n".join(f"{name}: {getattr(row, name)}" for name in names)


def _counts(cases: Iterable[ElementTree.Element]) -> dict[str, str]:
    found = list(cases)
    kinds = {"failures": "failure", "skipped": "skipped"}
    counts = {name: sum(case.find(kind) is not None for case in found) for name, kind in kinds.items()}
    return {name: str(count) for name, count in {"tests": len(found), "errors": 0, **counts}.items()}


def _legal(text: str) -> str:
    """Replace the characters that XML cannot hold, not even escaped."""
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
