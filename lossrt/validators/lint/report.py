"""A lint as one result: the rules' findings, the real parser's answer, and where the two differ."""

__all__ = ["LintReport", "run_lint"]

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lossrt.validators.lint.engine import lint_model
from lossrt.validators.lint.findings import Finding, lint_fails
from lossrt.validators.lint.real_parser import ParserAnswer, ask_parser, disagreement, parser_finding
from lossrt.validators.lint.ruleset import find_targets, load_rules


@dataclass(frozen=True, slots=True)
class LintReport:
    """What the lint of one file found.

    Attributes:
        model: Path of the file.
        targets: Targets that it was linted for.
        findings: Findings by target, worst first; a refusal of the real parser's that the rules missed comes last.
        parser: The real parser's answer; None where it was not asked.
        disagreement: Where rules and parser differ; empty where they agree.
    """

    model: str
    targets: tuple[str, ...]
    findings: tuple[Finding, ...]
    parser: ParserAnswer | None
    disagreement: str

    @property
    def failed(self) -> bool:
        """True where anything is refused or silently wrong: exit code 1."""
        return lint_fails(self.findings)


def run_lint(path: Path, *, targets: Sequence[str] = ("all",), real_parser: bool = True) -> LintReport:
    """Lint a file by the rules, and, for target `rtx`, by the installed parser.

    Args:
        path: The ONNX file.
        targets: Lint targets, `all` among them.
        real_parser: Ask tensorrt-rtx's own parser as well, in a process of its own; where it is not installed, the report
            says so.

    Raises:
        InputError: A target is unknown, or the file is not a usable ONNX model.
        BackendError: The parser's process ended without an answer.
    """
    findings = lint_model(path, targets=targets)
    names = tuple(target.name for target in find_targets(targets, load_rules()))
    if not real_parser or "rtx" not in names:
        return LintReport(str(path), names, findings, None, "")
    (answer,) = ask_parser([path])
    differ = disagreement(findings, answer)
    missed = parser_finding(answer) if differ else None
    return LintReport(str(path), names, findings if missed is None else (*findings, missed), answer, differ)
