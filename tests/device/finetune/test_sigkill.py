"""Killed with SIGKILL at ten random moments, a run ends with the same bytes as one that was left alone."""

import subprocess
import sys

KILLS = 10

# One process imports everything and forks the runs: an interpreter's start is not what is tested. It opens no session
# itself, so that no thread is lost in a fork.
DRIVER = """
import os, pathlib, random, shutil, signal, sys, time
from lossrt.cli.main import main
import lossrt.device.finetune.run, lossrt.targets.formats, onnxruntime

words, out, kills = sys.argv[2:], sys.argv[1], int({kills})
rng = random.Random(5)

def start(out):
    child = os.fork()
    if child == 0:
        sys.argv = ["lossrt", "finetune", *words, "-o", out]
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            main()
        except SystemExit as left:
            os._exit(left.code or 0)
        os._exit(0)
    return child

def same():
    for suffix in (".onnx", ".safetensors", ".onnx.metrics.jsonl"):
        with open(out + "/whole" + suffix, "rb") as whole, open(out + "/killed" + suffix, "rb") as killed:
            assert whole.read() == killed.read(), suffix

began = time.monotonic()
assert os.waitpid(start(out + "/whole.onnx"), 0)[1] == 0
alone = time.monotonic() - began
done = 0
while done < kills:
    child = start(out + "/killed.onnx")
    time.sleep(rng.uniform(0.02, 0.6) * alone)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        done += 1
    else:  # it had come to its end: begin anew
        same()
        for path in pathlib.Path(out).glob("killed.onnx*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
child = start(out + "/killed.onnx")
assert os.waitpid(child, 0)[1] == 0
same()
print(done)
"""


def test_the_result_is_the_same_byte_for_byte(setting, tmp_path) -> None:
    words = [
        setting.network,
        "--bundle",
        setting.bundle.root,
        "--frames",
        setting.images,
        "--annotations",
        setting.images,
    ]
    words += ["--epochs", 40, "--batch", 2, "--validation", 0.25, "--patience", 0, "--checkpoint-steps", 2]
    command = [
        sys.executable,
        "-c",
        DRIVER.format(kills=KILLS),
        tmp_path,
        *words,
        "--threads",
        1,
        "--schedule",
        "cosine",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == KILLS
