"""`lossrt finetune` as people type it: what it prints, and the exit code of each failure."""

import errno
import json
import os
import signal

import onnx
import pytest

from lossrt.bundle import files
from lossrt.device.finetune.step_graph import StepGraph
from tests.device.evaluate.events import events_of


@pytest.fixture
def words(setting):
    return ["finetune", setting.network, "--bundle", setting.bundle.root, "--annotations", setting.images]


def test_it_tells_the_loss_before_and_after(command, words, setting, tmp_path) -> None:
    given = [*words, "--frames", setting.images, "-o", tmp_path / "tuned.onnx", "--epochs", 2, "--lr", 0.01]
    code, printed, _ = command(*given)
    assert code == 0
    assert "before" in printed
    assert f"wrote {tmp_path / 'tuned.onnx'} and {tmp_path / 'tuned.safetensors'}" in printed
    content = (tmp_path / "tuned.onnx").read_bytes()
    code, printed, _ = command(*given, "--json")  # goes on where it stopped: at the end
    assert code == 0
    report = json.loads(printed)
    assert (report["epochs"], report["diverged"], len(report["validation_loss"])) == (2, None, 3)
    assert (tmp_path / "tuned.onnx").read_bytes() == content


def test_divergence_ends_with_1_and_keeps_the_checkpoint(command, words, setting, tmp_path) -> None:
    code, _, said = command(*words, "--frames", setting.images, "-o", tmp_path / "tuned.onnx", "--lr", 1e4)
    assert code == 1
    assert "training diverged" in said
    assert "step " in said
    assert (tmp_path / "tuned.onnx.checkpoint" / "checkpoint.safetensors").is_file()
    assert not (tmp_path / "tuned.onnx").exists()


def test_ctrl_c_keeps_every_step_and_the_same_command_goes_on(command, words, setting, tmp_path, monkeypatch) -> None:
    given = [*words, "--frames", setting.images, "--epochs", 2, "--cache-limit", "inf"]
    real, steps = StepGraph.run, []

    def interrupted(self, *arrays, lr):
        steps.append(lr)
        if len(steps) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *arrays, lr=lr)

    with monkeypatch.context() as patch:
        patch.setattr(StepGraph, "run", interrupted)
        code, _, said = command(*given, "-o", tmp_path / "tuned.onnx")
    assert code == 130
    assert "interrupted after step " in said
    assert "the same command goes on" in said
    assert not (tmp_path / "tuned.onnx").exists()
    assert command(*given, "-o", tmp_path / "tuned.onnx")[0] == 0
    assert command(*given, "-o", tmp_path / "alone.onnx")[0] == 0
    assert (tmp_path / "tuned.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()


def test_a_limit_that_is_no_number_ends_with_2(command, words, setting, tmp_path) -> None:
    code, _, said = command(*words, "--frames", setting.images, "-o", tmp_path / "tuned.onnx", "--cache-limit", "nan")
    assert code == 2
    assert "--cache-limit" in said


def test_frames_without_annotations_end_with_2(command, words, setting, tmp_path) -> None:
    place = tmp_path / "empty"
    (place / "gt").mkdir(parents=True)
    (place / "seqinfo.ini").write_bytes((setting.images / "seqinfo.ini").read_bytes())
    (place / "gt" / "gt.txt").write_text("1,1,10,10,20,40,0,1,1\n")  # a row that is not to be considered
    words[-1] = place
    code, _, said = command(*words, "--frames", setting.images, "-o", tmp_path / "tuned.onnx")
    assert code == 2
    assert "expected frames with objects of classes 1..1 to train on, got none" in said


def test_a_full_disk_ends_with_74_and_the_checkpoint_goes_on(command, words, setting, tmp_path, monkeypatch) -> None:
    given = [*words, "--frames", setting.images, "-o", tmp_path / "tuned.onnx", "--epochs", 2]
    sync, calls = files.os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 11:  # metrics, eight features, the first checkpoint and one more
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        code, _, said = command(*given)
    assert code == 74
    assert "No space left on device" in said
    assert not (tmp_path / "tuned.onnx").exists()
    assert command(*given)[0] == 0
    assert command(*given[:-3], tmp_path / "alone.onnx", "--epochs", 2)[0] == 0
    assert (tmp_path / "tuned.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()


def test_no_place_takes_anything_away(command, words, setting, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    given = [*words, "--frames", setting.images]
    image = next((setting.images / "img1").iterdir())
    before = {path: path.read_bytes() for path in setting.images.rglob("*") if path.is_file()}
    out = tmp_path / "tuned.onnx"
    for more, expected in (
        (("-o", tmp_path / "tuned.safetensors"), "got the name that its heads go to"),
        (("-o", tmp_path), "got a folder"),
        (("-o", setting.network), "expected a place of its own, got one that the network"),
        (("-o", setting.bundle.root / "tuned.onnx"), "lies in the bundle"),
        (("-o", out, "--metrics", image), "--metrics"),
        (("-o", out, "--metrics", out), "got that of --metrics"),
        (("-o", out, "--curve", setting.images / "seqinfo.ini"), "--curve"),
        (("-o", out, "--checkpoint", tmp_path / "file"), "--checkpoint"),
        (("-o", out, "--cache", tmp_path / "x", "--checkpoint", tmp_path / "x"), "got that of --"),
        (("-o", out, "--window", 1), "--window: expected 2 to"),
        (("-o", out, "--prometheus-host", "::1"), "--prometheus-host: expected together with --prometheus"),
    ):
        code, _, said = command(*given, *more)
        assert (code, expected in said) == (2, True), said
    assert {path: path.read_bytes() for path in setting.images.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_dashboards_show_what_evaluate_shows(command, words, setting, tmp_path) -> None:
    pytest.importorskip("tensorboardX")
    pytest.importorskip("prometheus_client")
    given = [*words, "--frames", setting.images, "--epochs", 2, "--window", 3]
    shown = (
        "--curve",
        tmp_path / "c.svg",
        "--tensorboard",
        tmp_path / "tb",
        "--prometheus-textfile",
        tmp_path / "p.prom",
    )
    code, printed, _ = command(*given, *shown, "-o", tmp_path / "tuned.onnx")
    assert code == 0
    assert "loss_tracking" in printed
    lines = [json.loads(line) for line in (tmp_path / "tuned.onnx.metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "step" in line]
    losses = [line["losses"]["loss"] for line in steps]
    assert steps[-1]["window"]["loss"] == pytest.approx(sum(losses[-3:]) / 3, rel=1e-12)
    text = (tmp_path / "p.prom").read_text()
    assert f"lossrt_steps_total {len(steps)}.0" in text
    assert f'lossrt_loss{{output="loss"}} {losses[-1]!r}' in text
    last = [line for line in lines if "validation" in line][-1]["validation"]["loss"]
    assert f'lossrt_further_loss{{kind="validation",output="loss"}} {last!r}' in text
    assert ">step</text>" in (tmp_path / "c.svg").read_text()
    events = [event for event in events_of(tmp_path / "tb") if event.summary.value]
    tags = [value.tag for event in events for value in event.summary.value]
    assert tags.count("step/loss") == len(steps)
    assert tags.count("validation/loss") == 3
    # The same command does nothing anew, and shows all of it again.
    (tmp_path / "c.svg").unlink()
    assert command(*given, *shown, "-o", tmp_path / "tuned.onnx")[0] == 0
    assert ">step</text>" in (tmp_path / "c.svg").read_text()
    assert (tmp_path / "tuned.onnx.metrics.jsonl").read_text().splitlines() == [json.dumps(line) for line in lines]


def test_nothing_of_a_run_stays_but_what_it_names(command, words, setting, tmp_path) -> None:
    out = tmp_path / "tuned.onnx"
    killed = tmp_path / "tuned.onnx.checkpoint" / ".lossrt-parts"
    killed.mkdir(parents=True)
    (killed / "part.onnx").write_bytes(b"half")
    assert command(*words, "--frames", setting.images, "-o", out, "--epochs", 1)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "tuned.onnx",
        "tuned.onnx.checkpoint",
        "tuned.onnx.features",
        "tuned.onnx.metrics.jsonl",
        "tuned.safetensors",
    ]
    assert [path.name for path in (tmp_path / "tuned.onnx.checkpoint").iterdir()] == ["checkpoint.safetensors"]


def test_an_operator_that_the_backend_lacks_is_told_with_the_ways_out(command, words, setting, tmp_path) -> None:
    model = onnx.load(setting.network)
    model.graph.node[0].domain, model.graph.node[0].op_type = "my.plugin", "DCNv2"
    model.opset_import.append(onnx.helper.make_opsetid("my.plugin", 1))
    onnx.save(model, tmp_path / "plug.onnx")
    words[1] = tmp_path / "plug.onnx"
    code, _, said = command(*words, "--frames", setting.images, "-o", tmp_path / "tuned.onnx")
    assert code == 3
    assert f"network '{tmp_path / 'plug.onnx'}': has an operator that ONNX Runtime lacks: my.plugin:DCNv2(-1)" in said
    assert "--ort-ops" in said
    assert "--features" in said
    assert not (tmp_path / "tuned.onnx.checkpoint").exists()
