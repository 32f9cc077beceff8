"""`lossrt split` and `lossrt merge`: a round trip, and what does not fit."""

import json

import numpy as np
import onnx
from safetensors.numpy import save_file

from lossrt.arrays import read_arrays
from tests.passes.networks import head_weights, network


def test_split_then_merge_from_the_command_line(run, tmp_path) -> None:
    onnx.save(network(), tmp_path / "net.onnx")
    code, printed, _ = run("split", tmp_path / "net.onnx", "-o", tmp_path / "parts")
    assert code == 0
    assert "hm: hm.0.weight, hm.0.bias, hm.2.weight, hm.2.bias" in printed
    heads = tmp_path / "parts" / "heads.safetensors"
    assert run("merge", tmp_path / "net.onnx", "--heads", heads, "-o", tmp_path / "same.onnx")[0] == 0
    assert (tmp_path / "same.onnx").read_bytes() == (tmp_path / "net.onnx").read_bytes()
    assert read_arrays(tmp_path / "same.safetensors", what="heads").keys() == read_arrays(heads, what="heads").keys()
    save_file({"hm.2.bias": np.zeros(2, "f4")}, tmp_path / "other.safetensors")
    code, _, said = run("merge", tmp_path / "net.onnx", "--heads", tmp_path / "other.safetensors", "-o", tmp_path / "x")
    assert code == 2
    assert "other.safetensors': tensor 'hm.2.bias': expected float32[1], got float32[2]" in said
    code, _, said = run("split", tmp_path / "net.onnx", "-o", tmp_path / "p", "--map", "hm:out")
    assert code == 2
    assert "expected KEY=NAME" in said


def test_merge_refuses_a_place_before_it_reads_anything(run, tmp_path) -> None:
    onnx.save(network(), tmp_path / "net.onnx")
    for place, message in (("x.safetensors", "the name that its heads go to"), ("net.onnx", "the network itself")):
        code, _, said = run("merge", tmp_path / "net.onnx", "--heads", tmp_path / "none", "-o", tmp_path / place)
        assert code == 2
        assert message in said


def test_split_cuts_off_the_heads_that_are_named(run, tmp_path) -> None:
    onnx.save(network(), tmp_path / "net.onnx")
    code, printed, _ = run("split", tmp_path / "net.onnx", "-o", tmp_path / "parts", "--heads", "reg")
    assert code == 0
    assert "hm: stays an output of the backbone" in printed
    assert read_arrays(tmp_path / "parts" / "heads.safetensors", what="heads").keys() == head_weights("reg").keys()
    code, printed, _ = run("split", tmp_path / "net.onnx", "-o", tmp_path / "parts", "--heads", "reg", "--json")
    assert json.loads(printed)["kept"] == ["hm"]
    code, _, said = run("split", tmp_path / "net.onnx", "-o", tmp_path / "parts", "--at", "stem")
    assert code == 2
    assert "'hm' at 'features'" in said
