"""Show a lint: a table for people, JSON for programs. JUnit is in `junit.py`."""

__all__ = ["json_from_report", "table_from_report"]

import dataclasses
import json

from rich.table import Table
from rich.text import Text

from lossrt.validators.lint.findings import CONSEQUENCES, FAILING, Consequence, Finding
from lossrt.validators.lint.report import LintReport

SCHEMA = "lossrt-lint/1"

_STYLES: dict[Consequence, str] = {
    "refused": "bold red",
    "silently_wrong": "bold magenta",
    "risk": "yellow",
    "slow": "cyan",
}


def table_from_report(report: LintReport) -> Table:
    """Return the findings as a table; the findings of one rule are one row.

    Args:
        report: The lint.
    """
    table = Table(title=_title(report), caption=_caption(report), title_justify="left", caption_justify="left")
    for column in ("consequence", "rule", "targets", "at", "what happens, and what to do"):
        table.add_column(column, overflow="fold")
    rows: dict[tuple[Consequence, str, str], list[Finding]] = {}
    for finding in report.findings:
        rows.setdefault((finding.consequence, finding.rule, finding.fix), []).append(finding)
    for (consequence, rule, fix), found in sorted(rows.items(), key=lambda row: CONSEQUENCES.index(row[0][0])):
        table.add_row(
            Text(consequence.replace("_", " "), _STYLES[consequence]),
            rule,
            _few([finding.target for finding in found]),
            Text(_few([finding.node for finding in found])),
            Text.assemble(_few([finding.message for finding in found], shown=2, between="\n"), "\n→ ", (fix, "dim")),
        )
    return table


def json_from_report(report: LintReport) -> str:
    """Return the whole lint as JSON, one line a finding.

    Args:
        report: The lint.
    """
    entry = {
        "schema": SCHEMA,
        "model": report.model,
        "targets": list(report.targets),
        "failed": report.failed,
        "summary": {name: sum(finding.consequence == name for finding in report.findings) for name in CONSEQUENCES},
        "parser": dataclasses.asdict(report.parser) if report.parser else None,
        "disagreement": report.disagreement,
        "findings": [dataclasses.asdict(finding) for finding in report.findings],
    }
    return json.dumps(entry, indent=2, ensure_ascii=False) + "\n"


def _title(report: LintReport) -> Text:
    failing = sum(finding.consequence in FAILING for finding in report.findings)
    verdict = f"{failing} failing" if failing else "clean" if not report.findings else "nothing failing"
    return Text(f"{report.model} for {', '.join(report.targets)}: {verdict}, {len(report.findings)} findings")


def _caption(report: LintReport) -> Text:
    if report.parser is None:
        return Text("")
    if report.parser.status == "missing":
        return Text(f"rules only for rtx: {report.parser.reason}")
    said = f"tensorrt-rtx {report.parser.version}: {report.parser.status}"
    return Text(f"{said}; DISAGREEMENT: {report.disagreement}" if report.disagreement else f"{said}; the rules agree")


def _few(texts: list[str], *, shown: int = 6, between: str = ", ") -> str:
    unique = [text for text in dict.fromkeys(texts) if text]
    more = f"{between}and {len(unique) - shown} more" if len(unique) > shown else ""
    return between.join(unique[:shown]) + more
