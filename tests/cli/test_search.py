import json

import onnx
import pytest

from lossrt.bundle import Case


def test_a_correct_graph_passes_and_the_worst_inputs_are_kept(run, small_bundle, tmp_path):
    words = ("search", small_bundle.root, "--graph", "reg_weighted_l1", "--iterations", 40)
    code, out, err = run(*words, "--keep", tmp_path / "kept")
    assert code == 0
    assert "reg_weighted_l1.fp32 loss: got" in out
    assert "x the allowed error" in out
    assert f"cases into {tmp_path / 'kept'}" in err
    kept = sorted((tmp_path / "kept").iterdir())
    assert kept[0].name == "reg_weighted_l1.fp32.worst1.safetensors"
    assert {*Case.load(kept[0]).input} == {"pred_reg", "ind", "reg", "reg_mask"}


def test_a_wrong_model_fails_and_json_says_how(run, small_bundle, tmp_path):
    model = onnx.load(small_bundle.graph_path("reg_weighted_l1", "fp32"))
    next(node for node in model.graph.node if node.op_type == "Abs").op_type = "Neg"
    onnx.save(model, tmp_path / "wrong.onnx")
    words = ("search", small_bundle.root, "--graph", "reg_weighted_l1", "--model", tmp_path / "wrong.onnx")
    code, out, _ = run(*words, "--iterations", 5, "--json")
    assert code == 1
    worst = json.loads(out)["worst"][0]
    assert (worst["verdict"], worst["output"]) == ("fail", "loss")
    assert worst["changes"][0].startswith("case ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--graph", "reg_weighted"), "graph 'reg_weighted': not in bundle"),
        (("--graph", "fast_focal", "--precision", "fp8"), "precision 'fp8': graph 'fast_focal' lacks it"),
        (("--graph", "fast_focal", "--backend", "rtx"), "backend 'rtx': cannot be searched"),
        (("--graph", "fast_focal", "--model", "absent.onnx"), "absent.onnx"),
        (("--graph", "fast_focal", "--iterations", 0), "--iterations"),
    ],
    ids=["graph", "precision", "backend", "model", "iterations"],
)
def test_wrong_use_is_named(run, small_bundle, words, message):
    code, _, err = run("search", small_bundle.root, *words)
    assert code == 2
    assert message in err
