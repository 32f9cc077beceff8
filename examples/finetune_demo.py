"""Fine-tuning without PyTorch, end to end on a CPU: `make demo`, or `python -m examples.finetune_demo`.

A base network is trained on scene A in PyTorch and exported; on scene B, `lossrt finetune` tunes its heads with the
exported step, and PyTorch does the same steps beside it.
"""

__all__ = ["main"]

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from examples.base_network import train_base
from examples.pictures import draw_curves, draw_detections
from examples.pytorch_heads import Curves, tune_in_pytorch
from examples.scenes import SCENES, make_scene
from lossrt.arrays import read_arrays
from lossrt.cli import console
from lossrt.device.finetune.options import FinetuneOptions
from lossrt.device.finetune.partition import partition
from lossrt.export.onnx_from_network import onnx_from_network
from lossrt.recipe import Recipe, load_recipe
from lossrt.targets.formats import read_annotations

RECIPE = Path(__file__).with_name("demo.toml")
BASE_STEPS = 60
SCENE_B = FinetuneOptions(epochs=10, batch=4, lr=2e-3, patience=0)
REAL = FinetuneOptions(epochs=60, batch=3, lr=2e-3, schedule="cosine", patience=0)


def main(words: Sequence[str] | None = None) -> None:
    """Run the demo and write `demo.json`, curves and pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder to write")
    parser.add_argument("--annotations", type=Path, help="real frames as well: a MOTChallenge sequence with its images")
    given = parser.parse_args(words)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    recipe = load_recipe(str(RECIPE))
    command = _lossrt("export", RECIPE, "-o", out / "bundle")
    export = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  # our own command line
    make_base(recipe, out)
    if export.wait():
        sys.exit(export.returncode)
    _run("split", out / "network.onnx", "-o", out / "parts")
    results = {"scene_b": tune(recipe, out, "scene_b", out / "scene_b", options=SCENE_B)}
    for stale in out.glob("real*"):  # of an earlier demo with --annotations
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    if given.annotations:
        results["real"] = tune(recipe, out, "real", given.annotations, options=REAL)
    results["seconds"] = {"all": round(time.perf_counter() - started, 1)}
    (out / "demo.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    console.say(f"wrote {out / 'demo.json'}")


def make_base(recipe: Recipe, out: Path) -> None:
    """Write both scenes, and the network that was trained on the first."""
    for name in SCENES:
        make_scene(name, recipe, out / name)
    # The export works beside it.
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    (scene,) = read_annotations(out / "scene_a")
    with console.progress_bar("demo") as progress:
        network = train_base(recipe, scene, out / "scene_a", steps=BASE_STEPS, seed=0, progress=progress)
    onnx.save(onnx_from_network(network, recipe), out / "network.onnx")


def tune(recipe: Recipe, out: Path, name: str, sequence: Path, *, options: FinetuneOptions) -> dict[str, Any]:
    """Tune the heads on a sequence, by the exported step and in PyTorch; draw both.

    Args:
        recipe: Heads and sizes.
        out: Where the base network lies, and results go.
        name: What files are called.
        sequence: Folder of a MOTChallenge sequence with its images.
        options: How to train.

    Returns:
        The figures for `demo.json`.
    """
    tuned = out / f"{name}.onnx"
    shutil.rmtree(out / f"{name}.onnx.checkpoint", ignore_errors=True)  # of an earlier demo, with another network
    chosen = {name: getattr(options, name) for name in ("epochs", "batch", "lr", "schedule", "patience")}
    fixed = [word for name, value in chosen.items() for word in (f"--{name}", value)]
    folders = ("--bundle", out / "bundle", "--frames", sequence, "--annotations", sequence)
    _run("finetune", out / "network.onnx", *folders, *fixed, "--threads", 1, "-o", tuned)
    exported = _curves(tuned)
    frames = partition(read_annotations(sequence), recipe, fraction=options.validation, seed=options.seed)
    pytorch = tune_in_pytorch(out / "parts", recipe, frames, sequence, options=options)
    figures = _figures(exported, pytorch)
    title = f"Heads tuned on {name}: validation loss {-figures['fall_percent']:+.0f} % in {len(exported.steps)} steps"
    draw_curves(exported, pytorch, out / f"{name}_loss.svg", title=title)
    networks = {"before": out / "network.onnx", "after": tuned}
    shown = frames.validation[:: max(1, len(frames.validation) // 2)][:2]
    seen = draw_detections(networks, recipe, shown, sequence, out / f"{name}_detections.png")
    console.say(
        f"{name}: validation loss {figures['validation_loss_before']:.4f} to {figures['validation_loss_after']:.4f} ({-figures['fall_percent']:.1f} %); exported step and PyTorch at most {figures['largest_difference']['loss']:.1e} apart in loss, {figures['largest_difference']['weight']:.1e} in weights"
    )
    return {**figures, "detections": seen}


def _curves(tuned: Path) -> Curves:
    lines = [json.loads(line) for line in Path(f"{tuned}.metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return Curves(
        steps=[line["losses"]["loss"] for line in lines if "step" in line],
        validations=[line["validation"]["loss"] for line in lines if "validation" in line],
        weights=read_arrays(tuned.with_suffix(".safetensors"), what="heads"),
    )


def _figures(exported: Curves, pytorch: Curves) -> dict[str, Any]:
    before, after = exported.validations[0], min(exported.validations)
    apart = {
        "loss": _apart(exported.steps, pytorch.steps),
        "validation_loss": _apart(exported.validations, pytorch.validations),
        "weight": max(float(np.abs(exported.weights[name] - pytorch.weights[name]).max()) for name in pytorch.weights),
    }
    return {
        "validation_loss_before": before,
        "validation_loss_after": after,
        "fall_percent": 100 * (1 - after / before),
        "largest_difference": apart,
        "steps": len(exported.steps),
    }


def _apart(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the largest relative difference."""
    return max(abs(a - b) / abs(b) for a, b in zip(left, right, strict=True))


def _run(*words: object) -> None:
    subprocess.run(_lossrt(*words), check=True)  # noqa: S603  # our own command line


def _lossrt(*words: object) -> list[str]:
    return [str(Path(sys.executable).with_name("lossrt")), *map(str, words)]


if __name__ == "__main__":
    main()
