import json
import shutil

import numpy as np
import onnx
import pytest

from lossrt.bundle import Case
from tests.passes.test_attach import network_of
from tests.passes.test_attach import run as run_model

MAPS = ("hm", "reg", "wh", "tracking", "ltrb_amodal")


@pytest.fixture
def network(small_recipe, tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(network_of(small_recipe, names={"hm": "out1"}), path)
    return path


def test_a_network_and_its_losses_from_one_file(run, network, small_bundle, small_recipe, tmp_path):
    whole = tmp_path / "whole.onnx"
    assert run("attach", network, "--bundle", small_bundle.root, "--map", "hm=out1", "-o", whole)[0] == 0
    case = Case.load(small_bundle.case_path("generic_loss", "fp32", "nominal"))
    image = np.random.default_rng(0).normal(0, 1, (3, 3, *small_recipe.input)).astype(np.float32)
    alone = run_model(onnx.load(network), {"image": image})
    # The network's head is `out1`, so that the target keeps its name `hm`; the others stand aside.
    feeds = {f"target_{head}" if head in MAPS[1:] else head: array for head, array in case.input.items()}
    together = run_model(onnx.load(whole), {"image": image, **feeds})
    for name, array in alone.items():
        np.testing.assert_array_equal(together[name], array)
    predictions = {f"pred_{head}": alone["out1" if head == "hm" else head] for head in MAPS}
    expected = run_model(onnx.load(small_bundle.graph_path("generic_loss", "fp32")), case.input | predictions)
    assert expected.keys() == {"loss", *(f"loss_{head}" for head in MAPS)}
    for name, array in expected.items():
        np.testing.assert_allclose(together[name], array, rtol=2e-6)


def test_what_is_said(run, network, small_bundle, tmp_path):
    words = ("attach", network, "--bundle", small_bundle.root, "--map", "hm=out1", "-o", tmp_path / "whole.onnx")
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert "head hm: output 'out1'" in out
    assert "reg is called target_reg here" in out
    assert "hm is called" not in out
    assert out.endswith(f"wrote {tmp_path / 'whole.onnx'}\n")
    told = json.loads(run(*words, "--json")[1])
    assert told["heads"]["hm"] == "out1"
    assert told["inputs"]["reg"] == "target_reg"
    assert (told["precision"], told["casts"], told["weights"]) == ("fp32", [], [])


def refused(run, network, small_bundle, tmp_path, *more):
    code, _, err = run("attach", network, "--bundle", small_bundle.root, "-o", tmp_path / "whole.onnx", *more)
    assert not (tmp_path / "whole.onnx").exists()
    return code, err


def test_bad_input(run, network, small_bundle, tmp_path):
    code, err = refused(run, network, small_bundle, tmp_path)
    assert code == 2
    assert "say which with --map hm=OUTPUT" in err
    code, err = refused(run, network, small_bundle, tmp_path, "--map", "hm=out1", "--precision", "fp16")
    assert code == 2
    assert "--precision fp16: expected one of this bundle (fp32)" in err
    assert refused(run, tmp_path / "none.onnx", small_bundle, tmp_path)[0] == 2
    code, _, err = run("attach", network, "--bundle", small_bundle.root, "--map", "hm=out1", "-o", network)
    assert code == 2
    assert "expected a place of its own, got one that the network" in err


@pytest.mark.parametrize("place", ["weights.bin", "sub", "bundle/graphs/generic_loss.fp32.onnx", "bundle/x.onnx"])
def test_nothing_that_is_read_is_written_over(run, small_recipe, small_bundle, tmp_path, place):
    network, bundle = tmp_path / "net.onnx", tmp_path / "bundle"
    shutil.copytree(small_bundle.root, bundle)
    (tmp_path / "sub").mkdir()
    model = network_of(small_recipe, names={"hm": "out1"})
    onnx.save(model, network, save_as_external_data=True, location="weights.bin", size_threshold=0)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, _, err = run("attach", network, "--bundle", bundle, "--map", "hm=out1", "-o", tmp_path / place)
    assert (code, f"output '{tmp_path / place}'" in err) == (2, True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_full_disk_leaves_what_was_there(run, network, small_bundle, tmp_path, monkeypatch):
    whole = tmp_path / "whole.onnx"
    whole.write_bytes(b"before")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, _, err = run("attach", network, "--bundle", small_bundle.root, "--map", "hm=out1", "-o", whole)
    assert code == 74
    assert "No space left on device" in err
    assert whole.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "whole.onnx"]
