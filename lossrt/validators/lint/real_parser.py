"""Ask the real parser of TensorRT for RTX, where it is installed, and hold it against the rules."""

__all__ = ["ParserAnswer", "ask_parser", "disagreement", "parser_finding"]

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lossrt.errors import BackendError
from lossrt.validators.lint.findings import Finding
from lossrt.validators.lint.ruleset import load_rules

Status = Literal["accepted", "refused", "aborted", "missing"]

_SHOWN = 300


@dataclass(frozen=True, slots=True)
class ParserAnswer:
    """What the parser said of one file.

    Attributes:
        status: `accepted`, `refused`, `aborted` (the process died on it), or `missing` (tensorrt-rtx is not installed).
        version: Version of tensorrt-rtx; empty where it is missing.
        node: The node that it refused; empty where it names none.
        op: That node's operator.
        reason: The parser's own words, or why there are none; empty where it accepts.
    """

    status: Status
    version: str = ""
    node: str = ""
    op: str = ""
    reason: str = ""


def ask_parser(paths: Sequence[Path], *, timeout_s: float = 300.0) -> tuple[ParserAnswer, ...]:
    """Let TensorRT for RTX parse every file; nothing is compiled or run.

    One process does them all; where the parser aborts it, the next one goes on after that file.

    Args:
        paths: ONNX files.
        timeout_s: Seconds after which a process is stopped.

    Returns:
        The answers, in order.

    Raises:
        BackendError: The process ended without a word, or did not end in time.
    """
    answers: list[ParserAnswer] = []
    while len(answers) < len(paths):
        lines, code = _run(paths[len(answers) :], timeout_s)
        missing = next((line["missing"] for line in lines if "missing" in line), None)
        if missing is not None:
            return tuple(ParserAnswer("missing", reason=str(missing)) for _ in paths)
        done = [_answer(line) for line in lines if "answered" in line]
        if code != 0 and len(done) < sum("started" in line for line in lines):
            done.append(ParserAnswer("aborted", reason=f"the parser aborted its process (exit code {code})"))
        if not done:
            raise BackendError(
                f"tensorrt-rtx: its process ended with exit code {code} without an answer; report this file"
            )
        answers += done
    return tuple(answers)


def parser_finding(answer: ParserAnswer) -> Finding | None:
    """Return the finding for a file that the parser does not take; None where it does, or was not asked."""
    if answer.status not in ("refused", "aborted"):
        return None
    return Finding(
        "rtx",
        "real-parser",
        "refused",
        answer.node,
        answer.op,
        answer.reason,
        "the rules miss this one: please report it",
        f"tensorrt-rtx {answer.version}".strip(),
    )


def disagreement(findings: Sequence[Finding], answer: ParserAnswer) -> str:
    """Say where rules and parser differ; empty where they agree, or the parser was not asked.

    What only the compiler refuses is left out: the parser takes it.

    Args:
        findings: What the rules found; those of other targets are ignored.
        answer: What the parser said.
    """
    if answer.status == "missing":
        return ""
    late = {rule.id for rule in load_rules().rules if rule.stage == "build"}
    refused = [
        finding
        for finding in findings
        if finding.target == "rtx" and finding.consequence == "refused" and finding.rule not in {*late, "real-parser"}
    ]
    if refused and answer.status == "accepted":
        named = ", ".join(sorted({f"{finding.rule} at '{finding.node}'" for finding in refused}))
        return f"the rules refuse it ({named}), tensorrt-rtx {answer.version} parses it"
    if not refused and answer.status in ("refused", "aborted"):
        return f"the rules accept it, tensorrt-rtx {answer.version} does not: {answer.reason}"
    return ""


def _run(paths: Sequence[Path], timeout_s: float) -> tuple[list[dict[str, Any]], int]:
    with tempfile.TemporaryDirectory(prefix="lossrt-lint-") as name:
        files, answers = Path(name) / "files.json", Path(name) / "answers.jsonl"
        files.write_text(json.dumps([str(path.resolve()) for path in paths]), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-m", "lossrt.validators.lint.parser_process", str(files), str(answers)]
        try:
            done = subprocess.run(  # noqa: S603  # our own module, no shell
                command, env=environment, capture_output=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BackendError(
                f"tensorrt-rtx: its parser did not finish within {timeout_s:g} s; lint without it"
            ) from error
        text = answers.read_text(encoding="utf-8") if answers.is_file() else ""
    return [json.loads(line) for line in text.splitlines()], done.returncode


def _answer(line: dict[str, Any]) -> ParserAnswer:
    if line["accepted"]:
        return ParserAnswer("accepted", line["version"])
    node, op, reason = line["reasons"][0] if line["reasons"] else ("", "", "no reason given")
    return ParserAnswer("refused", line["version"], node, op, _readable(reason))


def _readable(reason: str) -> str:
    """Return the sentence that matters: the parser's frames around it, and the driver that is not here, left out."""
    lines = [line for line in reason.split("\n") if line.strip() and "Cuda Runtime" not in line]
    text = lines[1] if len(lines) > 1 and lines[0].startswith("Invalid Node") else (lines[0] if lines else reason)
    return text.strip()[:_SHOWN]
