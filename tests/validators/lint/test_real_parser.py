"""The rules against TensorRT for RTX's own parser, and a parser that dies."""

from pathlib import Path

import onnx
import pytest

from lossrt.errors import BackendError
from lossrt.validators.lint import real_parser
from lossrt.validators.lint.engine import lint_model
from lossrt.validators.lint.real_parser import ParserAnswer, ask_parser, disagreement, parser_finding
from lossrt.validators.lint.report import run_lint
from tests.validators.lint.cases import CASES, Case

# A module of the name that is imported: it aborts, ends, refuses or accepts as the file's name says.
_FAKE = """
import os, sys
__version__ = "0.0"
class ILogger:
    class Severity: ERROR = 1
    def __init__(self): pass
class NetworkDefinitionCreationFlag: STRONGLY_TYPED = 0
class Builder:
    def __init__(self, logger): pass
    def create_network(self, flags): return None
class OnnxParser:
    num_errors = 0
    def __init__(self, network, logger): pass
    def parse_from_file(self, path):
        if "abort" in path: os.abort()
        if "silent" in path: sys.exit(0)
        return "accept" in path
"""


@pytest.fixture
def fake_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "tensorrt_rtx.py").write_text(_FAKE)
    monkeypatch.syspath_prepend(tmp_path / "fake")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ParserAnswer]:
    pytest.importorskip("tensorrt_rtx", reason="asking the real parser needs tensorrt-rtx")
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / f"{case.name}.onnx" for case in CASES]
    for case, path in zip(CASES, paths, strict=True):
        onnx.save(case.model, path)
    return dict(zip((case.name for case in CASES), ask_parser(paths), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rules_and_parser_agree(case: Case, answers: dict[str, ParserAnswer]) -> None:
    assert answers[case.name].status in ("accepted", "refused")
    assert disagreement(lint_model(case.model, targets=["rtx"]), answers[case.name]) == ""


def test_the_parser_says_why(answers: dict[str, ParserAnswer]) -> None:
    answer = answers["scatter-add"]
    assert (answer.status, answer.reason) == ("refused", "Unsupported reduction type")
    assert answer.version
    assert "UINT8" in answers["uint8-inside"].reason


def test_one_process_goes_on_after_an_abort(fake_parser: None) -> None:
    names = ["accept_1", "abort_1", "accept_2", "refuse", "abort_2", "abort_3"]
    found = ask_parser([Path(f"{name}.onnx") for name in names])
    assert [answer.status for answer in found] == ["accepted", "aborted", "accepted", "refused", "aborted", "aborted"]
    assert "aborted its process" in found[1].reason
    assert found[3].reason == "no reason given"


def test_a_process_that_ends_without_a_word(fake_parser: None) -> None:
    with pytest.raises(BackendError, match="exit code 0 without an answer"):
        ask_parser([Path("silent.onnx")])


def test_a_parser_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tensorrt_rtx.py").write_text("raise ImportError('no library')")
    monkeypatch.syspath_prepend(tmp_path)
    (answer,) = ask_parser([Path("model.onnx")])
    assert answer.status == "missing"
    assert "pip install tensorrt-rtx" in answer.reason
    assert parser_finding(answer) is None
    assert disagreement((), answer) == ""


def test_a_parser_that_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tensorrt_rtx.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=r"did not finish within 0\.5 s"):
        ask_parser([Path("model.onnx")], timeout_s=0.5)


def test_what_the_rules_miss_becomes_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "relu.onnx"
    onnx.save(CASES[0].model, path)
    refusal = ParserAnswer("refused", "9.9", "n", "Relu", "not today")
    monkeypatch.setattr("lossrt.validators.lint.report.ask_parser", lambda paths: (refusal,))
    report = run_lint(path, targets=["rtx"])
    assert report.failed
    assert [(finding.rule, finding.node, finding.message) for finding in report.findings] == [
        ("real-parser", "n", "not today")
    ]
    assert report.disagreement == "the rules accept it, tensorrt-rtx 9.9 does not: not today"


def test_what_the_parser_takes_against_the_rules_is_told() -> None:
    (case,) = (case for case in CASES if case.name == "nonzero")
    told = disagreement(lint_model(case.model, targets=["rtx"]), ParserAnswer("accepted", "9.9"))
    assert told == "the rules refuse it (unsupported-operator at 'n'), tensorrt-rtx 9.9 parses it"


def test_the_parser_is_asked_for_rtx_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "relu.onnx"
    onnx.save(CASES[0].model, path)
    monkeypatch.setattr("lossrt.validators.lint.report.ask_parser", lambda paths: pytest.fail("asked"))
    assert run_lint(path, targets=["jetpack6"]).parser is None
    assert run_lint(path, targets=["rtx"], real_parser=False).parser is None


def test_frames_around_a_reason_are_left_out() -> None:
    raw = "Invalid Node - n\nITensor::getDimensions: Error Code 4\n[x] Cuda Runtime (cudaError 35)"
    assert (
        real_parser._answer({"accepted": False, "version": "1", "reasons": [["n", "Op", raw]]}).reason
        == "ITensor::getDimensions: Error Code 4"
    )
