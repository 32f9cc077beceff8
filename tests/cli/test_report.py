import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossrt.cli import main
from lossrt.spec import Estimate
from lossrt.validators.report import Report, make_report, read_report, write_report
from lossrt.validators.tolerances import DEFAULT_POLICY, judge
from tests.validators.samples import result_row

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; returns exit code, standard output and standard error."""

    def run_once(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lossrt", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main.main()
        code = left.value.code
        return int(code or 0), *capsys.readouterr()

    return run_once


def report_of(excess: float, *, backend: str = "ort") -> Report:
    """Return a report of one sum of 10,000 terms whose excess is that with the default constants."""
    estimate = Estimate(value=np.ones(()), scale=np.ones(()), terms=10_000)
    allowed = 100 * 2.0**-24
    verdict = judge("loss", np.asarray(1.0 + excess * allowed), estimate)
    numbers = {"error": verdict.error, "allowed": verdict.allowed, "ulp": verdict.ulp, "actual": verdict.actual}
    row = result_row(**numbers, oracle=1.0, reference=None, allowance=verdict.allowance, backend=backend)
    return make_report("ab" * 32, [row], policy=DEFAULT_POLICY)


def saved(place: Path, report: Report) -> Path:
    """Save a report as a bundle keeps it and return the bundle's folder."""
    write_report(place / "reports" / "report.json", report)
    return place


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_documents_are_made_again(tmp_path: Path, run: Run) -> None:
    bundle = saved(tmp_path, report_of(0.5))
    code, out, err = run("report", bundle)
    assert (code, err) == (0, "")
    assert names(bundle / "reports") == ["junit.xml", "report.html", "report.json", "report.md"]
    assert out.endswith("1 comparison: 1 pass, 0 warn, 0 fail\n")
    assert f"wrote {bundle / 'reports' / 'report.html'}" in out


def test_the_documents_of_a_failed_run_are_no_failure(tmp_path: Path, run: Run) -> None:
    assert run("report", saved(tmp_path, report_of(100.0)), "-o", tmp_path / "other")[0] == 0
    assert names(tmp_path / "other") == ["junit.xml", "report.html", "report.md"]


def test_a_device_is_told_what_the_page_needs(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    bundle = saved(tmp_path, report_of(0.5))
    code, _, err = run("report", bundle)
    assert code == 0
    assert err.startswith("lossrt: warning: report.html: left out")
    assert "pip install jinja2 matplotlib" in err
    assert names(bundle / "reports") == ["junit.xml", "report.json", "report.md"]


def test_json_is_all_of_the_output(tmp_path: Path, run: Run) -> None:
    report = report_of(0.5)
    code, out, _ = run("report", saved(tmp_path, report), "--json")
    assert code == 0
    assert Report.model_validate_json(out) == report


def test_judged_again(tmp_path: Path, run: Run) -> None:
    bundle = saved(tmp_path, report_of(3.0))
    before = (bundle / "reports" / "report.json").read_bytes()
    assert run("report", bundle, "--lambda", 4)[:2][0] == 0
    code, out, _ = run("report", bundle, "--lambda", 0.1)
    assert code == 1
    assert "FAIL generic_loss.fp32 loss[nominal]" in out
    assert "1 comparison: 0 pass, 0 warn, 1 fail" in out
    assert names(bundle / "reports") == ["report.json"]
    assert (bundle / "reports" / "report.json").read_bytes() == before


def test_what_was_judged_again_can_be_kept_elsewhere(tmp_path: Path, run: Run) -> None:
    bundle = saved(tmp_path / "bundle", report_of(3.0))
    assert run("report", bundle, "--lambda", 4, "--kappa", 2, "-o", tmp_path / "again")[0] == 0
    kept = read_report(tmp_path / "again" / "report.json")
    assert (kept.summary.passed, kept.environment["lambda"], kept.environment["kappa"]) == (1, 4.0, 2.0)
    assert "report.html" in names(tmp_path / "again")
    code, _, err = run("report", bundle, "--lambda", 4, "-o", bundle / "reports")
    assert code == 2
    assert "holds the verdicts of the run itself; choose another folder" in err


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [(0.5, 0.9, 0), (0.5, 3.0, 1), (3.0, 9.0, 1), (9.0, 9.0, 0), (9.0, 0.5, 0)],
    ids=["grew", "pass to warn", "warn to fail", "still fails", "better"],
)
def test_two_reports(tmp_path: Path, run: Run, before: float, after: float, code: int) -> None:
    one = saved(tmp_path / "one", report_of(before))
    two = saved(tmp_path / "two", report_of(after, backend="rtx"))
    found, out, _ = run("report", one, two / "reports" / "report.json")
    assert found == code
    assert "1 comparisons: " in out
    data = json.loads(run("report", one, two, "--json")[1])
    assert sum(data["counts"].values()) == 1
    assert names(one / "reports") == ["report.json"]


def test_two_reports_judged_alike(tmp_path: Path, run: Run) -> None:
    one, two = saved(tmp_path / "one", report_of(0.5)), saved(tmp_path / "two", report_of(3.0))
    assert run("report", one, two, "--lambda", 10)[0] == 0


def test_a_comparison_is_not_written(tmp_path: Path, run: Run) -> None:
    one = saved(tmp_path, report_of(0.5))
    code, _, err = run("report", one, one, "-o", tmp_path / "out")
    assert code == 2
    assert "redirect --json into a file" in err


def changed(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text())
    data["results"][0] |= changes.pop("result", {})
    path.write_text(json.dumps(data | changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "document: Invalid JSON"),
        (lambda path: changed(path, schema=2), "schema: Input should be 1, got 2"),
        (lambda path: changed(path, result={"verdict": "pass"}), "does not follow from error"),
        (
            lambda path: changed(path, result={"allowed": 1.0, "verdict": "pass"}, summary={"pass": 1}),
            "does not follow",
        ),
        (lambda path: changed(path, result={"error": "nan"}), "error: Input should be greater than or equal to 0"),
        (lambda path: changed(path, summary={"pass": 7}), "summary: "),
        (lambda path: changed(path, environment={}), "expected the constants kappa and lambda"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
    ids=["truncated", "schema", "verdict", "allowed", "error", "summary", "environment", "missing"],
)
@pytest.mark.parametrize("options", [[], ["--kappa", "2"]], ids=["documents", "judged again"])
def test_bad_reports_are_explained(
    tmp_path: Path, run: Run, spoil: Callable[[Path], object], message: str, options: list[str]
) -> None:
    bundle = saved(tmp_path, report_of(100.0))
    spoil(bundle / "reports" / "report.json")
    code, _, err = run("report", bundle, *options)
    assert code == 2
    assert err.startswith("lossrt: error: report '")
    assert message in err
    assert "lossrt validate" in err
    good = saved(tmp_path / "good", report_of(0.5))
    assert run("report", good, bundle, *options)[0] == 2


def test_a_report_that_cannot_be_judged_again(tmp_path: Path, run: Run) -> None:
    bundle = saved(tmp_path, make_report("ab", [result_row()], policy=DEFAULT_POLICY))
    code, _, err = run("report", bundle, "--kappa", 2)
    assert code == 2
    assert "expected the parts of its allowed error" in err


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "x"])
def test_a_constant_that_makes_no_sense(tmp_path: Path, run: Run, value: str) -> None:
    code, _, err = run("report", saved(tmp_path, report_of(0.5)), f"--kappa={value}")
    assert code == 2
    assert "kappa" in err


def test_reports_of_other_recipes(tmp_path: Path, run: Run) -> None:
    one = saved(tmp_path / "one", report_of(0.5))
    other = make_report("ab", [result_row(recipe="coco")], policy=DEFAULT_POLICY)
    code, _, err = run("report", one, saved(tmp_path / "two", other))
    assert code == 2
    assert "no comparison in common" in err
