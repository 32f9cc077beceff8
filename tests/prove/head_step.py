"""The exported training steps at full size, beside PyTorch and float64: `make prove-steps`.

Prints, for every step of mot17 (136x240, 64 features, 256 hidden channels), how far one step's weight change is from
float64's in ONNX Runtime and in PyTorch's float32, how far twenty steps' losses part, and what the compiler says of its
memory. Bars: twice PyTorch's own error; 2e-6; 230 MB for SGD on everything.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from lossrt.device.plans import EnginePlan
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS, step_graphs
from lossrt.recipe import STEPS, Recipe, load_recipe, with_steps
from lossrt.runtime.engines import build_engine
from lossrt.runtime.ort import OrtSession
from lossrt.runtime.profiles import ProfileRange
from lossrt.targets.annotations import frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.scenes import generated_scene
from lossrt.targets.step_inputs import StepDraw, step_inputs

Arrays = dict[str, NDArray[Any]]
TWICE, LOSS_BAR, MEMORY_BAR = 2.0, 2e-6, 230e6
LENGTH = 20
GPU = "8.9"


def inputs(recipe: Recipe, name: str, *, seed: int) -> Arrays:
    """Return one frame at full size; the optimizer has done nothing yet."""
    pairs = frame_pairs([generated_scene(recipe, frames=2, seed=seed)])[1:]
    targets, spec = encode_batch(pairs, recipe).arrays, GRAPHS[name].spec(recipe)
    rng = np.random.default_rng(seed)
    draw = StepDraw(started=False)
    return step_inputs(spec, recipe, targets, sizes=spec.sizes | {"B": 1}, rng=rng, draw=draw)


def pytorch(recipe: Recipe, name: str, arrays: Mapping[str, NDArray[Any]], *, wide: bool = False) -> Arrays:
    """Return a step by PyTorch, in float32 or float64."""
    tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}
    if wide:
        tensors = {key: tensor.double() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    return {key: value.numpy() for key, value in GRAPHS[name].reference(recipe, tensors).items()}


def changes(before: Arrays, after: Arrays) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the change of every parameter."""
    for name, array in after.items():
        if name.startswith("new_param_"):
            yield name, array.astype(np.float64) - before[name.removeprefix("new_")].astype(np.float64)


def one_step(recipe: Recipe, name: str, session: OrtSession, arrays: Arrays) -> bool:
    """Compare one step's weight change, all parameters together and the worst of them, and print it.

    A tensor of one or two weights may be lucky in PyTorch, so that none is held to less than half a unit in the last
    place of its new weights.
    """
    exact = pytorch(recipe, name, arrays, wide=True)
    wide = dict(changes(arrays, exact))
    sides = [dict(changes(arrays, found)) for found in (session.run(arrays), pytorch(recipe, name, arrays))]
    ours, theirs = ({part: np.linalg.norm(side[part] - wide[part]) for part in wide} for side in sides)
    least = {part: np.linalg.norm(np.spacing(np.abs(exact[part].astype(np.float32))) / 2) for part in wide}
    ratios = {part: float(ours[part] / max(theirs[part], least[part])) for part in wide}
    whole = [np.linalg.norm(list(errors.values())) for errors in (ours, theirs)]
    size = np.linalg.norm([np.linalg.norm(change) for change in wide.values()])
    worst = max(ratios, key=lambda part: ratios[part])
    print(
        f"{name}: one step, weight change against float64: ours {whole[0] / size:.2e}, PyTorch {whole[1] / size:.2e}, "
        f"ratio {whole[0] / whole[1]:.2f}; worst tensor {worst.removeprefix('new_param_')} {ratios[worst]:.2f}",
        flush=True,
    )
    return bool(whole[0] <= TWICE * whole[1]) and ratios[worst] <= TWICE


def many_steps(recipe: Recipe, name: str, session: OrtSession, arrays: Arrays) -> bool:
    """Take twenty steps on both sides from the same start, and print how far their losses part."""
    worst, ours, theirs = 0.0, dict(arrays), dict(arrays)
    first = last = 0.0
    for step in range(LENGTH):
        found, wanted = session.run(ours), pytorch(recipe, name, theirs)
        last = float(wanted["loss"])
        first = first if step else last
        worst = max(worst, abs(float(found["loss"]) / last - 1))
        ours |= {key.removeprefix("new_"): value for key, value in found.items() if key.startswith("new_")}
        theirs |= {key.removeprefix("new_"): value for key, value in wanted.items() if key.startswith("new_")}
    print(f"{name}: {LENGTH} steps at lr 1e-3, loss {first:.4f} to {last:.4f}: parts by {worst:.2e}", flush=True)
    return worst <= LOSS_BAR


def memory(name: str, model: onnx.ModelProto, sizes: Mapping[str, int]) -> bool:
    """Compile for one frame and print the activation memory."""
    ranges = {dim: ProfileRange(size, size, size) for dim, size in {**sizes, "B": 1}.items()}
    with tempfile.TemporaryDirectory() as folder:
        plan = EnginePlan(name, "fp32", {})
        record = build_engine(
            bytes(model.SerializeToString()),
            out_dir=Path(folder),
            graph=plan.graph,
            precision=plan.precision,
            backend="rtx",
            compute_capability=GPU,
            profile=ranges,
        )
    size = record.cost.activation_bytes if record.cost else None
    print(
        f"{name}: compiled for {GPU}, B 1: activation {size} bytes, {len(record.cost.kernels) if record.cost else '?'} kernels",
        flush=True,
    )
    return name != "head_step_full_sgd" or (size is not None and size <= MEMORY_BAR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe = with_steps(load_recipe("mot17"), given.steps.split(","))
    compiler = importlib.util.find_spec("tensorrt_rtx") is not None
    failed = []
    for name in step_graphs(recipe):
        model = onnx_from_graph(GRAPHS[name], recipe, options=ExportOptions())
        arrays = inputs(recipe, name, seed=given.seed)
        with OrtSession(bytes(model.SerializeToString()), threads=1) as session:
            checks = {"one step": one_step(recipe, name, session, arrays)}
            checks["many steps"] = many_steps(recipe, name, session, arrays)
        if compiler:
            checks["memory"] = memory(name, model, GRAPHS[name].spec(recipe).sizes)
        failed += [f"{name}: {what}" for what, good in checks.items() if not good]
    print("FAILED: " + "; ".join(failed) if failed else "every step within its bars")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
