import json

import pytest
from onnx import helper

from lossrt.cli import doctor
from lossrt.device.doctor import Machine
from lossrt.runtime.environment import describe_environment
from tests.runtime.graphs import masked_l1, needs_rtx, save
from tests.runtime.test_ort_nodes import FLOAT, network


def test_what_is_here_is_said_and_nothing_fails(run):
    code, out, _ = run("doctor")
    assert code == 0
    assert "ok        ONNX Runtime: " in out
    data = json.loads(run("doctor", "--json")[1])
    assert {"name", "status", "found", "gives", "next"} == set(data["checks"][0])
    assert "network" not in data


@needs_rtx
def test_a_network_that_runs_everywhere(run, tmp_path):
    code, out, _ = run("doctor", save(masked_l1(), tmp_path / "l1.onnx"))
    assert code == 0
    assert "l1.onnx on ort: every node is taken" in out
    assert "l1.onnx on rtx: every node is taken" in out


@needs_rtx
def test_a_network_that_runs_nowhere(run, tmp_path):
    nodes = [helper.make_node("DCNv2", ["x"], ["y"], name="deform", domain="own")]
    path = network(tmp_path, nodes, {"x": FLOAT}, {"y": FLOAT})
    code, out, _ = run("doctor", path)
    assert code == 3
    assert out.count("node 'deform' (") == 2
    data = json.loads(run("doctor", path, "--json")[1])["network"]
    assert [data[backend]["runs"] for backend in ("ort", "rtx")] == [False, False]


@needs_rtx
def test_one_backend_is_enough(run, tmp_path):
    nodes = [helper.make_node("NonZero", ["x"], ["y"], name="find")]
    code, out, _ = run("doctor", network(tmp_path, nodes, {"x": FLOAT}, {"y": 7}))
    assert code == 0
    assert "on ort: every node is taken" in out
    assert "node 'find' (NonZero)" in out


def test_without_any_backend_a_network_runs_nowhere(run, tmp_path, monkeypatch):
    machine = Machine(describe_environment().__class__("3", "s", "c", 1, {}, (), None, None, "0"))
    monkeypatch.setattr("lossrt.device.doctor.look_around", lambda: machine)
    code, out, _ = run("doctor", save(masked_l1(), tmp_path / "l1.onnx"))
    assert (code, doctor.NOWHERE) == (3, 3)
    assert "no backend is installed here" in out


@pytest.mark.parametrize("content", [None, b"not onnx"], ids=["missing", "corrupt"])
def test_what_is_no_network_is_wrong_use(run, tmp_path, content):
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    code, _, err = run("doctor", path)
    assert code == 2
    assert "x.onnx" in err


def test_a_library_without_its_digest_is_not_loaded(run, tmp_path):
    (tmp_path / "ops.so").write_bytes(b"code")
    code, _, err = run("doctor", save(masked_l1(), tmp_path / "l1.onnx"), "--ort-ops", tmp_path / "ops.so")
    assert code == 2
    assert "then pass --trust 5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b" in err
