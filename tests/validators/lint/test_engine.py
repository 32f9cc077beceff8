"""The table: every small model, every target, exactly the findings that are expected."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from lossrt.validators.lint.engine import lint_model
from lossrt.validators.lint.findings import CONSEQUENCES, lint_fails
from lossrt.validators.lint.ruleset import load_rules
from tests.validators.lint.cases import ACCEPTED, CASES, OLD, REFUSED, TARGETS, WRONG, Case
from tests.validators.lint.models import F, model_of, node


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table(case: Case) -> None:
    found = {target: {finding.rule for finding in lint_model(case.model, targets=[target])} for target in TARGETS}
    expected = {target: {rule for rule, where in case.expected.items() if target in where} for target in TARGETS}
    assert found == expected


def test_the_table_is_large_enough_and_names_every_rule() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)
    spoken = {rule for case in CASES for rule in case.expected}
    assert {rule.id for rule in load_rules().rules} - spoken == set()


def test_the_naive_gradient_is_silently_wrong_on_8x() -> None:
    (case,) = (case for case in WRONG if case.name == "naive-gradient")
    found = [finding for finding in lint_model(case.model, targets=OLD) if finding.consequence == "silently_wrong"]
    assert {(finding.target, finding.rule, finding.node) for finding in found} == {
        (target, "scatter-reduction-ignored", "backward") for target in OLD
    }
    assert all("--fix" in finding.fix and "issues/3750" in finding.reference for finding in found)


def test_dcnv2_says_what_each_target_does_with_it() -> None:
    (case,) = (case for case in REFUSED if case.name == "dcnv2-node")
    fixes = {finding.target: finding.fix for finding in lint_model(case.model)}
    assert "GridSample" in fixes["jetpack5"]
    assert "DeformConv (opset 19)" in fixes["jetpack6"]
    assert "ONNX Runtime" in fixes["rtx"]


def test_findings_come_by_target_and_worst_first() -> None:
    findings = lint_model(WRONG[0].model, targets=["jetpack5", "rtx"])
    assert [finding.target for finding in findings] == sorted(
        (finding.target for finding in findings), key=TARGETS.index
    )
    for target in ("jetpack5", "rtx"):
        ranks = [CONSEQUENCES.index(finding.consequence) for finding in findings if finding.target == target]
        assert ranks == sorted(ranks)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_what_is_accepted_does_not_fail(case: Case) -> None:
    assert not lint_fails(lint_model(case.model))


def test_an_alias_speaks_under_its_own_name() -> None:
    case = WRONG[0]
    named = lint_model(case.model, targets=["trt8.6"])
    assert {finding.target for finding in named} == {"trt8.6"}
    same = lint_model(case.model, targets=["jetpack6.0"])
    assert [finding.rule for finding in named] == [finding.rule for finding in same]


def test_a_path_within_subgraphs_and_functions_is_told() -> None:
    cases = {case.name: case for case in WRONG}
    (inside,) = (
        f for f in lint_model(cases["scatter-add-in-branch"].model, targets=["rtx"]) if f.consequence == "refused"
    )
    assert inside.node == "n/then_branch/inside"
    (called,) = (
        f for f in lint_model(cases["scatter-add-in-function"].model, targets=["rtx"]) if f.consequence == "refused"
    )
    assert called.op == "ScatterElements"


def test_a_model_in_memory_is_left_as_it_is() -> None:
    model = WRONG[3].model
    before = model.SerializeToString()
    lint_model(model)
    assert model.SerializeToString() == before


def test_a_model_of_100_mb_takes_less_than_5_s(tmp_path: Path) -> None:
    weights = np.zeros((1000, 1280), np.float32)
    nodes = [
        node("MatMul", ["x", "w0"], ["y0"]),
        *(node("Add", [f"y{k}", f"w{k + 1}"], [f"y{k + 1}"]) for k in range(19)),
    ]
    model = model_of(
        nodes,
        [("x", F, ["B", 1000])],
        [("y19", F, None)],
        **{f"w{k}": weights if k == 0 else weights[:, :] for k in range(20)},
    )
    path = tmp_path / "big.onnx"
    onnx.save(model, path)
    assert path.stat().st_size > 100e6
    start = time.perf_counter()
    assert not lint_fails(lint_model(path))
    assert time.perf_counter() - start < 5


def test_the_rules_load_no_runtime() -> None:
    """Nothing is executed: what could execute is not even there."""
    code = (
        "import sys; sys.modules |= dict.fromkeys(['onnxruntime', 'tensorrt', 'tensorrt_rtx', 'torch', 'polygraphy'])\n"
        "from lossrt.validators.lint.engine import lint_model\n"
        "from tests.validators.lint.cases import CASES\n"
        "lint_model(CASES[0].model)"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
