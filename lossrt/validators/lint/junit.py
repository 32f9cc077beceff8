"""A lint as JUnit XML, for the page of a build server: a suite a target, a case a rule that spoke, one case for the rest."""

__all__ = ["junit_from_report"]

import re
from xml.etree import ElementTree

from lossrt.validators.lint.findings import FAILING, Finding
from lossrt.validators.lint.report import LintReport

# What XML 1.0 cannot hold, however it is escaped.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_from_report(report: LintReport) -> str:
    """Return the lint as JUnit XML: findings that fail are failures, the others are told in the case's output.

    Args:
        report: The lint.
    """
    root = ElementTree.Element("testsuites", name="lossrt lint")
    for target in report.targets:
        found = [finding for finding in report.findings if finding.target == target]
        failing = [finding for finding in found if finding.consequence in FAILING]
        suite = ElementTree.SubElement(
            root, "testsuite", name=f"lint {target}", tests=str(len(found) + 1), failures=str(len(failing)), errors="0"
        )
        whole = ElementTree.SubElement(suite, "testcase", classname=f"lint.{target}", name=_clean(report.model))
        if target == "rtx" and report.disagreement:
            ElementTree.SubElement(whole, "system-out").text = _clean(report.disagreement)
        for finding in found:
            _case(suite, finding)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, finding: Finding) -> None:
    name = _clean(f"{finding.rule} {finding.node}".strip())
    case = ElementTree.SubElement(suite, "testcase", classname=f"lint.{finding.target}", name=name)
    told = _clean(f"{finding.message}\nfix: {finding.fix}\nreference: {finding.reference}")
    if finding.consequence in FAILING:
        ElementTree.SubElement(case, "failure", type=finding.consequence, message=_clean(finding.message)).text = told
    else:
        ElementTree.SubElement(case, "system-out").text = f"{finding.consequence}: {told}"


def _clean(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)
