"""The faults that a validator must not miss, each planted into a graph and judged by the command line."""

import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from lossrt.bundle import Bundle
from lossrt.cli import main
from tests.prove.mutants import Mutant, mutants

FAULTS: dict[str, tuple[str, Callable[[Mutant], bool]]] = {
    "the objects' mask dropped": (
        "generic_loss",
        lambda mutant: mutant.kind == "bypass" and "(Mul)" in mutant.name and "mask" in mutant.sources - {"hm"},
    ),
    "a head's mask dropped": (
        "reg_weighted_l1",
        lambda mutant: mutant.kind == "bypass" and mutant.sources == {"reg", "reg_mask"},
    ),
    "index one too high": ("gather_feat", lambda mutant: mutant.kind == "index" and mutant.what.endswith("+1")),
    "index one too low": ("generic_loss", lambda mutant: mutant.kind == "index" and mutant.what == "input ind -1"),
    "two heads swapped": (
        "generic_loss",
        lambda mutant: mutant.kind == "outputs" and mutant.what == "loss_reg and loss_wh swapped",
    ),
    "another head's map": (
        "generic_loss",
        lambda mutant: mutant.kind == "rewire" and "of pred_reg" in f"of {mutant.what.split()[-1]}",
    ),
    "wrong denominator": ("generic_loss", lambda mutant: mutant.kind == "rewire" and mutant.op_type == "Div"),
    "no object counted as none": ("fast_focal", lambda mutant: mutant.kind == "bypass" and mutant.op_type == "Max"),
    "a mask scaled by 1.001": (
        "reg_weighted_l1",
        lambda mutant: mutant.kind == "scale" and mutant.sources == {"reg_mask"} and mutant.op_type == "Concat",
    ),
    "the objects' mask scaled by 1.001": (
        "generic_loss",
        lambda mutant: mutant.kind == "scale" and mutant.sources == {"mask"},
    ),
    "the first image's index for all": (
        "generic_loss",
        lambda mutant: mutant.kind == "batch" and mutant.sources == {"ind"},
    ),
    "the low clamp gone or moved": (
        "fast_focal",
        lambda mutant: mutant.op_type == "Clip" and ("constant -9.2" in mutant.what or mutant.what == "no lower bound"),
    ),
}


def exit_code(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lossrt", *map(str, words)])
    try:
        main.main()
    except SystemExit as left:
        return int(left.code or 0)
    return 0


@pytest.fixture(scope="module")
def planted(small_bundle: Bundle) -> dict[str, list[Mutant]]:
    """Every mutant of the graphs that faults are planted into, by graph."""
    return {
        graph: list(mutants(onnx.load(small_bundle.graph_path(graph, "fp32"))))
        for graph in {graph for graph, _ in FAULTS.values()}
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails(
    fault: str,
    planted: dict[str, list[Mutant]],
    small_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph, fits = FAULTS[fault]
    found = [mutant for mutant in planted[graph] if fits(mutant)]
    assert found, "no such place in the graph"
    for mutant in found:
        onnx.save(mutant.model, tmp_path / "wrong.onnx")
        words = ("validate", small_bundle.root, "--graph", graph, "--model", tmp_path / "wrong.onnx")
        assert exit_code(monkeypatch, *words) == 1, mutant.name
        assert "FAIL" in capsys.readouterr().out


@pytest.mark.parametrize("graph", ["gather_feat", "fast_focal", "reg_weighted_l1", "generic_loss"])
def test_the_graph_itself_passes_in_its_own_place(
    graph: str, small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_bundle.graph_path(graph, "fp32")
    assert exit_code(monkeypatch, "validate", small_bundle.root, "--graph", graph, "--model", path) == 0


def test_a_model_of_another_shape_fails(
    small_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(small_bundle.graph_path("gather_feat", "fp32"))
    transpose = next(node for node in model.functions[0].node if node.op_type == "Transpose")
    transpose.attribute[0].ints[:] = [0, 1, 2]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "turned.onnx")
    words = ("validate", small_bundle.root, "--graph", "gather_feat", "--model", tmp_path / "turned.onnx")
    assert exit_code(monkeypatch, *words) == 1
    assert "expected shape [2, 32, 2], got [2, 2, 32]" in capsys.readouterr().err


def _renamed(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    next(value for value in model.graph.input if value.name == old).name = new


def _without_output(model: onnx.ModelProto) -> None:
    del model.graph.output[-1]


def _unknown_operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Abs").op_type = "Absolutely"


@pytest.mark.parametrize(
    ("change", "graph", "message"),
    [
        (lambda model: _renamed(model, "wh", "sizes"), "generic_loss", "tensor 'sizes': expected float32"),
        (_without_output, "generic_loss", "output 'loss_ltrb_amodal': expected from"),
        (_unknown_operator, "generic_loss", "Absolutely"),
        (lambda model: None, "generic_los", "did you mean 'generic_loss'"),
    ],
    ids=["an input that no case has", "a missing output", "an unknown operator", "an unknown graph"],
)
def test_what_is_no_model_of_the_graph_is_wrong_use(
    change: Callable[[onnx.ModelProto], None],
    graph: str,
    message: str,
    small_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = onnx.load(small_bundle.graph_path("generic_loss", "fp32"))
    change(model)
    onnx.save(model, tmp_path / "other.onnx")
    words = ("validate", small_bundle.root, "--graph", graph, "--model", tmp_path / "other.onnx")
    assert exit_code(monkeypatch, *words) == 2
    assert message in capsys.readouterr().err
