"""The exported training steps at full size, beside PyTorch and float64: `make prove-steps`.

Prints, for every step of mot17 (136x240, 64 features, 256 hidden channels), how far one step's weight change is from
float64's in ONNX Runtime and in PyTorch's float32, four starts together, how far twenty steps' losses part, and what the
compiler says of its memory. Bars: twice PyTorch's own error; 2e-6; 230 MB for SGD on everything.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Mapping
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
Size = Callable[[NDArray[Any]], Any]
TWICE, LOSS_BAR, MEMORY_BAR = 2.0, 2e-6, 230e6
LENGTH = 20
DONE = (0, 3)
FEW = 200
STARTS = 4
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


def after(outputs: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return what a step leaves to the next one, under the names of its inputs."""
    return {name.removeprefix("new_"): array for name, array in outputs.items() if name.startswith("new_")}


def changes(before: Arrays, found: Arrays) -> Arrays:
    """Return the change of every parameter."""
    names = [name for name in before if name.startswith("param_")]
    return {name[6:]: found[f"new_{name}"].astype(np.float64) - before[name].astype(np.float64) for name in names}


def gradients(before: Arrays, found: Arrays, state: str) -> Arrays:
    """Return what a step added to the optimizer's running gradient, which decays by 0.9 in both optimizers."""
    names = [name for name in before if name.startswith(state) and not name.startswith("exp_avg_sq_")]
    return {
        name.removeprefix(state): found[f"new_{name}"].astype(np.float64) - 0.9 * before[name].astype(np.float64)
        for name in names
    }


def one_step(recipe: Recipe, name: str, session: OrtSession, starts: list[Arrays], *, done: int) -> bool:
    """Compare the step after `done` ones: what the gradients gave the optimizer's state, and the weights' change.

    AdamW's first step divides a gradient by its own size, so that the few weights whose gradient is next to 0 have nearly
    all of the error, on either side: two or three of 741,387 are the norm. Several starts are therefore judged together,
    and a tensor of that step by the error that 99 % of its weights stay below.
    """
    sides: list[list[tuple[Arrays, Arrays]]] = [[], [], []]
    state = "exp_avg_" if name.endswith("_adamw") else "momentum_"
    for start in starts:
        arrays = start
        for _ in range(done):
            arrays = arrays | after(pytorch(recipe, name, arrays))
        steps = session.run(arrays), pytorch(recipe, name, arrays), pytorch(recipe, name, arrays, wide=True)
        for side, found in zip(sides, steps, strict=True):
            side.append((gradients(arrays, found, state), changes(arrays, found)))
    slopes, moves = ([joined([pair[part] for pair in side]) for side in sides] for part in (0, 1))
    erratic = name.endswith("_adamw") and done == 0
    good = compare(f"{name}: step {done + 1}, gradients, norm", slopes)
    good &= compare(f"{name}: step {done + 1}, weight change, norm", moves, tensors=not erratic)
    return compare(f"{name}: step {done + 1}, weight change, 99 % quantile", moves, size=most) and good


def joined(found: list[Arrays]) -> Arrays:
    """Return the values of several starts as one, by parameter."""
    return {part: np.concatenate([each[part].ravel() for each in found]) for part in found[0]}


def compare(what: str, sides: list[Arrays], *, size: Size = np.linalg.norm, tensors: bool = True) -> bool:
    """Print how far ours and PyTorch's are from float64's, all parameters together and the worst of them.

    A tensor of a few weights may be lucky in PyTorch: only those of `FEW` weights and more are held one by one.

    Args:
        what: What is compared.
        sides: Ours, PyTorch's and float64's, by parameter.
        size: How errors are summed up.
        tensors: Whether the bar applies to each tensor as well.
    """
    wide = sides[2]
    ours, theirs = ({part: np.abs(side[part] - wide[part]) for part in wide} for side in sides[:2])
    ratios = {part: float(size(ours[part]) / size(theirs[part])) for part in wide if wide[part].size >= FEW * STARTS}
    whole = [float(size(np.concatenate([np.abs(errors[part]) for part in wide]))) for errors in (ours, theirs, wide)]
    worst = max(ratios, key=lambda part: ratios[part])
    print(
        f"{what}: ours {whole[0] / whole[2]:.2e}, PyTorch {whole[1] / whole[2]:.2e}, ratio {whole[0] / whole[1]:.2f}"
        f"; worst tensor {worst} {ratios[worst]:.2f}{'' if tensors else ' (for information)'}",
        flush=True,
    )
    return whole[0] <= TWICE * whole[1] and not (tensors and ratios[worst] > TWICE)


def most(errors: NDArray[np.float64]) -> float:
    """Return what all but one in a hundred errors stay below."""
    return float(np.quantile(errors, 0.99))


def many_steps(recipe: Recipe, name: str, session: OrtSession, arrays: Arrays) -> bool:
    """Take twenty steps on both sides from the same start, and print how far their losses part."""
    worst, ours, theirs = 0.0, dict(arrays), dict(arrays)
    first = last = 0.0
    for step in range(LENGTH):
        found, wanted = session.run(ours), pytorch(recipe, name, theirs)
        last = float(wanted["loss"])
        first = first if step else last
        worst = max(worst, abs(float(found["loss"]) / last - 1))
        ours |= after(found)
        theirs |= after(wanted)
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
    parser.add_argument("--bundle", type=Path, help="take the graphs from a bundle of mot17 instead of exporting them")
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe = with_steps(load_recipe("mot17"), given.steps.split(","))
    compiler = importlib.util.find_spec("tensorrt_rtx") is not None
    failed = []
    for name in step_graphs(recipe):
        exported = given.bundle and onnx.load(given.bundle / "graphs" / f"{name}.fp32.onnx")
        model = exported or onnx_from_graph(GRAPHS[name], recipe, options=ExportOptions())
        starts = [inputs(recipe, name, seed=given.seed + start) for start in range(STARTS)]
        with OrtSession(bytes(model.SerializeToString()), threads=1) as session:
            checks = {f"step {n + 1}": one_step(recipe, name, session, starts, done=n) for n in DONE}
            checks["many steps"] = many_steps(recipe, name, session, starts[0])
        if compiler:
            checks["memory"] = memory(name, model, GRAPHS[name].spec(recipe).sizes)
        failed += [f"{name}: {what}" for what, good in checks.items() if not good]
    print("FAILED: " + "; ".join(failed) if failed else "every step within its bars")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
