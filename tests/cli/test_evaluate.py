import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import safetensors.numpy

from lossrt.cli import evaluate as verb
from lossrt.runtime.ort import OrtSession
from lossrt.targets.annotations import frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.formats import read_annotations
from tests.prove.stream import command, write_recording

FRAMES = 12


@pytest.fixture(scope="module")
def recorded(small_recipe, tmp_path_factory):
    """A folder with `heads` and `annotations` of 12 frames; not to be written to."""
    folder = tmp_path_factory.mktemp("recorded")
    write_recording(small_recipe, folder, frames=FRAMES)
    return folder


@pytest.fixture
def heads(recorded, tmp_path):
    """A copy of the heads that may be changed."""
    folder = tmp_path / "heads"
    folder.mkdir()
    for path in sorted((recorded / "heads").iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def evaluate(run, small_bundle, recorded):
    """`evaluate(*words)` runs the verb on the recording; `heads` and `annotations` may be others."""

    def evaluate_it(*words, heads=None, annotations=None):
        given = ["--heads", heads or recorded / "heads", "--annotations", annotations or recorded / "annotations"]
        return run("evaluate", small_bundle.root, *given, *words)

    return evaluate_it


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def change(path, **arrays):
    safetensors.numpy.save_file({**safetensors.numpy.load_file(path), **arrays}, path)


def test_every_frames_losses_are_the_graphs(evaluate, recorded, small_bundle, small_recipe, tmp_path):
    out = tmp_path / "o.jsonl"
    code, text, _ = evaluate("-o", out, "--window", 4, "--curve", tmp_path / "c.svg")
    assert (code, "12 frames" in text) == (0, True)
    header, *frames, summary = records(out)
    assert (header["bundle_id"], header["frames"], header["window"]) == (small_bundle.bundle_id, FRAMES, 4)
    pairs = frame_pairs(read_annotations(recorded / "annotations"))
    session = OrtSession(small_bundle.graph_path("generic_loss", "fp32"), threads=1)
    losses = []
    for number, (pair, record) in enumerate(zip(pairs, frames, strict=True), start=1):
        predictions = safetensors.numpy.load_file(recorded / "heads" / f"{number:06d}.safetensors")
        expected = session.run({**encode_batch([pair], small_recipe).arrays, **predictions})
        assert record["losses"] == {name: float(value) for name, value in expected.items()}
        assert record["frame"] == number
        losses.append(record["losses"]["loss"])
        assert record["mean"]["loss"] == pytest.approx(np.mean(losses))
        assert record["window"]["loss"] == pytest.approx(np.mean(losses[-4:]))
    assert summary["summary"]["outputs"]["loss"]["deviation"] == pytest.approx(np.std(losses, ddof=1))
    ElementTree.parse(tmp_path / "c.svg")


def test_a_packed_bundle_and_one_file_of_heads(run, recorded, small_bundle, tmp_path):
    packed = tmp_path / "small.lossrt"
    assert run("pack", small_bundle.root, "-o", packed)[0] == 0
    parts = [safetensors.numpy.load_file(path) for path in sorted((recorded / "heads").iterdir())]
    np.savez(tmp_path / "all.npz", **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    words = ("--annotations", recorded / "annotations", "--json")
    one = json.loads(run("evaluate", small_bundle.root, "--heads", recorded / "heads", *words)[1])
    other = json.loads(run("evaluate", packed, "--heads", tmp_path / "all.npz", *words)[1])
    assert one["outputs"] == other["outputs"]


def test_nan_is_flagged_and_not_fatal(evaluate, heads):
    path = heads / "000003.safetensors"
    values = safetensors.numpy.load_file(path)["pred_hm"]
    values[0, 0, 5, 5] = np.nan
    change(path, pred_hm=values)
    code, text, _ = evaluate("--json", heads=heads)
    summary = json.loads(text)
    assert code == 0
    assert {"output": "loss_hm", "kind": "nan", "frames": 1, "first": ["generated-0", 3]} in summary["flags"]
    assert (summary["outputs"]["loss_hm"]["frames"], summary["outputs"]["loss_wh"]["frames"]) == (FRAMES - 1, FRAMES)
    assert "nan in 1 frame, first 3" in " ".join(evaluate(heads=heads)[1].replace("│", " ").split())


def test_drift_is_flagged(evaluate, heads):
    for number in range(9, FRAMES + 1):
        path = heads / f"{number:06d}.safetensors"
        change(path, pred_wh=safetensors.numpy.load_file(path)["pred_wh"] + 50)
    flags = json.loads(evaluate("--json", "--window", 3, heads=heads)[1])["flags"]
    assert next(flag["first"][1] for flag in flags if flag["output"] == "loss_wh") in (9, 10)


def test_generated_heads_need_no_data(run, small_bundle, tmp_path):
    words = ("evaluate", small_bundle.root, "--generate", 5, "--seed", 3, "-o")
    assert run(*words, tmp_path / "a")[0] == run(*words, tmp_path / "b")[0] == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len(records(tmp_path / "a")) == 7


def test_generated_heads_for_real_annotations(run, small_bundle):
    place = Path(__file__).resolve().parents[3] / "shared" / "data" / "MOT17-02-FRCNN"
    if not place.is_dir():
        pytest.skip("the MOT17-02 sample is not beside the repository (../shared/data)")
    summary = json.loads(run("evaluate", small_bundle.root, "--generate", 9, "--annotations", place, "--json")[1])
    assert (summary["frames"], summary["complete"], summary["flags"]) == (4, True, [])
    assert 0 < summary["outputs"]["loss"]["mean"] < 10


def test_a_resumed_run_equals_the_whole_one(evaluate, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    evaluate("-o", whole, "--window", 3, "--curve", tmp_path / "whole.svg")
    content = whole.read_bytes()
    for length in (0, 100, len(content) // 3, 2 * len(content) // 3, len(content) - 5, len(content)):
        parts.write_bytes(content[:length])
        assert evaluate("-o", parts, "--window", 3, "--resume", "--curve", tmp_path / "parts.svg")[0] == 0
        assert parts.read_bytes() == content
        assert (tmp_path / "parts.svg").read_bytes() == (tmp_path / "whole.svg").read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--window", 5), "was begun with window 3, and this run has 5"),
        (("--drift-sigma", 5), "was begun with drift_sigma 3.0, and this run has 5.0"),
        (("--only", "1-3"), "was begun with annotations"),
    ],
    ids=["window", "sigma", "frames"],
)
def test_another_run_does_not_go_on_with_the_file(evaluate, tmp_path, words, said):
    evaluate("-o", tmp_path / "o", "--window", 3)
    code, _, err = evaluate(
        "-o", tmp_path / "o", "--resume", *(words if "--window" in words else ("--window", 3, *words))
    )
    assert code == 2
    assert said in err


def test_changed_heads_do_not_go_on_with_the_file(evaluate, heads, tmp_path):
    evaluate("-o", tmp_path / "o", heads=heads)
    (tmp_path / "o").write_bytes(b"".join((tmp_path / "o").read_bytes().splitlines(keepends=True)[:4]))
    change(heads / "000007.safetensors", extra=np.zeros(3, np.float32))
    code, _, err = evaluate("-o", tmp_path / "o", "--resume", heads=heads)
    assert (code, "was begun with heads" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--heads", "h", "--generate", "3"), "expected one of --heads, --generate"),
        ((), "expected one of --heads, --generate"),
        (("--heads", "h"), "expected --annotations"),
        (("--generate", "3", "--window", "1"), "--window: expected 2 to 100000, got 1"),
        (("--generate", "3", "--drift-sigma", "-1"), "--drift-sigma: expected a number > 0, got -1.0"),
        (("--generate", "3", "--resume"), "--resume: expected an output file to go on with"),
        (("--generate", "3", "--only", "4-"), "expected at least one frame to evaluate, got none"),
        (("--generate", "3", "--backend", "cuda"), "backend 'cuda': unknown; "),
        (("--generate", "3", "--precision", "fp8"), "precision 'fp8'"),
    ],
    ids=["both", "neither", "annotations", "window", "sigma", "resume", "only", "backend", "precision"],
)
def test_wrong_use_is_explained(run, small_bundle, words, said):
    code, _, err = run("evaluate", small_bundle.root, *words)
    assert code == 2
    assert said in err


def test_frames_that_are_missing_or_too_many_are_named(evaluate, heads, recorded):
    (heads / "000005.safetensors").unlink()
    code, _, err = evaluate(heads=heads)
    assert (code, "frame 5 of 'generated-0': annotated, but not recorded" in err) == (2, True)
    (heads / "000012.safetensors").rename(heads / "000099.safetensors")
    code, _, err = evaluate("--only", "6-11", heads=heads)
    assert code == 0
    (heads / "000099.safetensors").rename(heads / "000005.safetensors")
    (heads / "000012.safetensors").write_bytes((heads / "000001.safetensors").read_bytes())
    (heads / "000013.safetensors").write_bytes((heads / "000001.safetensors").read_bytes())
    code, _, err = evaluate(heads=heads)
    assert (code, "000013.safetensors': frame 13: not annotated in 'generated-0', which has 1 to 12" in err) == (
        2,
        True,
    )


def test_another_size_names_file_and_entry(evaluate, heads):
    change(heads / "000004.safetensors", pred_reg=np.zeros((1, 2, 34, 61), np.float32))
    code, _, err = evaluate(heads=heads)
    assert code == 2
    assert "000004.safetensors': tensor 'pred_reg': expected float32[1, 2, 34, 60], got float32[1, 2, 34, 61]" in err


def test_pickled_heads_are_refused(evaluate, heads):
    np.savez(heads / "000013.npz", pred_hm=np.array([{}], dtype=object))
    code, _, err = evaluate(heads=heads)
    assert (code, "holds Python objects" in err) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_ends_with_a_summary(evaluate, tmp_path, monkeypatch, number):
    out = tmp_path / "o"
    real = verb.interruptible

    from contextlib import contextmanager

    @contextmanager
    def interrupted():
        with real() as stop:
            calls = iter(range(100))

            class AfterFive:
                exit_code = property(lambda _: stop.exit_code)

                def __call__(self):
                    if next(calls) == 5:
                        os.kill(os.getpid(), number)
                    return stop()

            yield AfterFive()

    monkeypatch.setattr(verb, "interruptible", interrupted)
    code, text, err = evaluate("-o", out, "--json")
    assert code == 128 + number
    assert "interrupted after frame 5 of 12; go on with --resume" in err
    assert json.loads(text)["complete"] is False
    assert records(out)[-1]["summary"]["frames"] == 5
    monkeypatch.undo()


def test_a_full_disk_keeps_what_was_there(small_bundle, recorded, tmp_path):
    """The kernel's own refusal: a limit on the size of files stands in for a full disk."""
    out = tmp_path / "o"
    words = command(small_bundle.root, ["--heads", recorded / "heads", "--annotations", recorded / "annotations"], out)
    words = [str(word) for word in words]
    limit = 4000
    refused = subprocess.run(
        words,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert refused.returncode == 74, refused.stderr
    assert "every frame before is in it: free space, then go on with --resume" in refused.stderr
    kept = out.read_bytes()
    assert kept.endswith(b"\n")
    assert 2 < kept.count(b"\n") < FRAMES
    subprocess.run(words, check=True, capture_output=True)
    assert out.read_bytes().startswith(kept)
    assert len(records(out)) == FRAMES + 2


def test_ctrl_c_from_outside_leaves_a_summary(small_bundle, tmp_path):
    out = tmp_path / "o"
    words = [str(w) for w in command(small_bundle.root, ["--generate", "3000"], out)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (out.exists() and out.read_bytes().count(b"\n") > 3) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        text, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(text)["complete"] is False
    assert "summary" in records(out)[-1]


def test_metrics_packages_are_not_needed_without_their_options(small_bundle):
    code = (
        "import sys; sys.modules['tensorboardX'] = sys.modules['prometheus_client'] = None; sys.modules['torch'] = None\n"
        "from lossrt.cli.main import main; main()"
    )
    words = [sys.executable, "-c", code, "evaluate", str(small_bundle.root), "--generate", "2"]
    assert subprocess.run(words, capture_output=True).returncode == 0
    missing = subprocess.run([*words, "--tensorboard", "runs"], capture_output=True, text=True)
    assert missing.returncode == 3
    assert "pip install tensorboardX" in missing.stderr


def test_a_network_gives_the_heads(run, tmp_path, small_bundle, small_recipe):
    import onnx

    from tests.device_side.materials import _network, _sequence

    onnx.save(_network(small_recipe, deformable=True), tmp_path / "network.onnx")
    _sequence(tmp_path / "walk")
    words = ("evaluate", small_bundle.root, "--model", tmp_path / "network.onnx", "--annotations", tmp_path / "walk")
    code, text, _ = run(*words, "--frames", tmp_path / "walk", "-o", tmp_path / "o", "--json")
    assert (code, json.loads(text)["complete"]) == (0, True)
    content = (tmp_path / "o").read_bytes()
    (tmp_path / "o").write_bytes(content[: len(content) // 2])
    assert run(*words, "--frames", tmp_path / "walk", "-o", tmp_path / "o", "--resume")[0] == 0
    assert (tmp_path / "o").read_bytes() == content
    code, _, err = run(*words)
    assert (code, "give it with --frames" in err) == (2, True)
    plug = onnx.load(tmp_path / "network.onnx")
    plug.graph.node[0].domain, plug.graph.node[0].op_type = "my.plugin", "DCNv2"
    plug.opset_import.append(onnx.helper.make_opsetid("my.plugin", 1))
    onnx.save(plug, tmp_path / "plug.onnx")
    words = [tmp_path / "plug.onnx" if word == tmp_path / "network.onnx" else word for word in words]
    code, _, err = run(*words, "--frames", tmp_path / "walk")
    assert (code, "has an operator that ONNX Runtime lacks: my.plugin:DCNv2(-1)" in err) == (3, True), err
    words[3] = tmp_path / "network.onnx"
    code, _, err = run(*words, "--frames", tmp_path / "walk", "--map", "hm=reg")
    assert (code, "--map" in err) == (2, True)
    code, _, err = run("evaluate", small_bundle.root, "--generate", 3, "--frames", tmp_path)
    assert (code, "--frames: expected together with --model" in err) == (2, True)


def test_what_is_written_takes_nothing_away(evaluate, recorded, small_bundle, tmp_path):
    before = sorted((path, path.read_bytes()) for path in recorded.rglob("*") if path.is_file())
    frame = next(path for path in (recorded / "heads").iterdir())
    for words, said in (
        (("--curve", frame), "--curve"),
        (("--prometheus-textfile", next((recorded / "annotations").rglob("*.txt"))), "--prometheus-textfile"),
        (("--curve", small_bundle.root / "manifest.json"), "lies in the bundle"),
        (("-o", small_bundle.root / "losses.jsonl"), "lies in the bundle"),
        (("-o", tmp_path / "o", "--curve", tmp_path / "o"), "got that of --"),
        (("--curve", tmp_path), "expected a file or nothing there, got a folder"),
        (("--tensorboard", frame), "--tensorboard"),
        (("-o", frame / "o"), "is a file, so that nothing can lie below it"),
        (("--prometheus-host", "0.0.0.0"), "--prometheus-host: expected together with --prometheus"),
        (("--map", "hm=out"), "--map: expected together with --model"),
        (("--engines", tmp_path), "--engines: expected together with --backend tensorrt or rtx"),
        (("--resume",), "expected an output file to go on with"),
    ):
        code, _, err = evaluate(*words)
        assert (code, said in err) == (2, True), err
    assert sorted((path, path.read_bytes()) for path in recorded.rglob("*") if path.is_file()) == before
    assert not (tmp_path / "o").exists()
