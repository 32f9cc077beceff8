import json
import os
import sys

import pytest

from lossrt.bundle import pack_bundle
from lossrt.cli.bench import _figure

SHORT = ("--iterations", "2", "--warm-up", "0", "--energy-seconds", "0")


@pytest.fixture(autouse=True)
def without_torch(monkeypatch):
    """What a device has; torch.compile would take half a minute."""
    monkeypatch.setattr("lossrt.cli.bench.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("lossrt.device.bench_contenders.gpu_present", lambda: False)


def test_the_table(run, small_bundle, tmp_path):
    plot = tmp_path / "bench.svg"
    code, out, err = run("bench", small_bundle.root, *SHORT, "--plot", plot)
    assert code == 0
    assert out.startswith("generic_loss, B 3, 1 thread, 2 rounds side by side")
    for word in ("lossrt, ort", "upstream exported, ort", "floor: a copy of the", "TF32 off", "energy: not measured"):
        assert word in out
    assert "left out: torch eager; torch.compile: PyTorch is not installed" in out
    assert "left out: lossrt, ort-cuda; lossrt, ort-tensorrt; lossrt, tensorrt; lossrt, rtx: no NVIDIA GPU here" in out
    if "matplotlib" in sys.modules:
        assert plot.read_text().lstrip().startswith("<?xml")
    else:
        assert "left out: plot: matplotlib is not installed" in err


@pytest.mark.parametrize(
    ("value", "text"), [(0.0051, "0.01"), (9.994, "9.99"), (12.34, "12.3"), (99.94, "99.9"), (1248.13, "1,248")]
)
def test_figures_are_short(value, text):
    assert _figure(value) == text


def test_the_plot_is_left_out_without_matplotlib(run, small_bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run("bench", small_bundle.root, *SHORT, "--plot", tmp_path / "bench.svg")
    assert code == 0
    assert "left out: plot: matplotlib is not installed" in err
    assert not (tmp_path / "bench.svg").exists()


def test_json_from_a_packed_bundle(run, small_bundle, tmp_path):
    packed = tmp_path / "small.lossrt"
    pack_bundle(small_bundle, packed)
    before = os.sched_getaffinity(0)
    try:
        code, out, _ = run("bench", packed, *SHORT, "--json", "--pin", min(before), "--graph", "fast_focal")
    finally:
        os.sched_setaffinity(0, before)
    assert code == 0
    data = json.loads(out)
    assert (data["graph"], data["threads"], data["tf32"], data["pinned"]) == ("fast_focal", 1, False, [min(before)])
    assert data["environment"]["cores"] == 1
    rows = {row["name"]: row for row in data["rows"]}
    assert set(rows) == {"lossrt, ort", "floor"}
    ours = rows["lossrt, ort"]
    assert ours["ratio"] == 1
    assert ours["images_per_s"] == pytest.approx(ours["per_s"] * data["batch"])
    assert ours["joules"] is None
    assert data["energy_meter"].startswith("not measured")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--graph", "loss"), "graph 'loss': not in bundle"),
        (("--precision", "fp16"), "--precision fp16: expected one of this bundle (fp32)"),
        (("--pin", "x"), "--pin x: expected numbers of cores"),
    ],
    ids=["graph", "precision", "pin"],
)
def test_bad_input(run, small_bundle, words, message):
    code, _, err = run("bench", small_bundle.root, *SHORT, *words)
    assert code == 2
    assert message in err
