"""What a call of `LossSession` costs over ONNX Runtime itself: `python -m tests.prove.overhead [BUNDLE]`.

Every round calls each contender once, in an order of its own, so that a busy machine is busy for all; what counts is
the median of the differences within a round. `bound` is the least that ONNX Runtime can do: everything bound beforehand.
"""

import itertools
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lossrt.bundle import Bundle, Case, open_bundle
from lossrt.device.loss_session import LossSession
from lossrt.runtime.ort import OrtSession

GRAPH = "generic_loss"
LIMIT_US = 30.0


def contenders(bundle: Bundle, case: str = "single") -> dict[str, Callable[[], object]]:
    """The bare runtime's two ways to run the graph, and ours: on arrays that stay, and on two sets by turns.

    All on the same loaded graph: one with buffers of its own would find them out of the cache.
    """
    arrays = Case.load(bundle.case_path(GRAPH, "fp32", case)).input
    others = {name: array.copy() for name, array in arrays.items()}
    graph = OrtSession(bundle.graph_path(GRAPH, "fp32"), threads=1)
    bare = graph._session
    feeds = [{name: given[name] for name in graph.input_names} for given in (arrays, others)]
    bindings = []
    for given in feeds:
        bindings.append(bare.io_binding())
        for name, array in given.items():
            bindings[-1].bind_cpu_input(name, array)
        for name in graph.output_names:
            bindings[-1].bind_output(name, "cpu")
    ours = [LossSession(graph, bundle.entry(GRAPH).spec) for _ in range(2)]
    turn = itertools.cycle((0, 1))
    return {
        "bare run": lambda: bare.run(None, feeds[0]),
        "bare run, by turns": lambda: bare.run(None, feeds[next(turn)]),
        "bare bound": lambda: bare.run_with_iobinding(bindings[0]),
        "session": lambda: ours[0](feeds[0]),
        "session, by turns": lambda: ours[1](feeds[next(turn)]),
    }


def differences(calls: dict[str, Callable[[], object]], *, rounds: int, warm_up: int = 50) -> dict[str, np.ndarray]:
    """Return the seconds of each contender in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order = random.Random(0)
    for round_ in range(warm_up + rounds):
        for name, call in order.sample(list(calls.items()), len(calls)):
            start = time.perf_counter()
            call()
            taken = time.perf_counter() - start
            if round_ >= warm_up:
                seconds[name].append(taken)
    return {name: np.array(taken) for name, taken in seconds.items()}


def main(rounds: int = 2000) -> int:
    with tempfile.TemporaryDirectory() as folder:
        bundle = open_bundle(Path(sys.argv[1])) if len(sys.argv) > 1 else _exported(Path(folder))
        taken = differences(contenders(bundle), rounds=rounds)
    worst = -math.inf
    for name, seconds in taken.items():
        run = taken["bare run, by turns" if name.endswith("by turns") else "bare run"]
        over_run, over_bound = (float(np.median(seconds - base)) * 1e6 for base in (run, taken["bare bound"]))
        if name.startswith("session"):
            worst = max(worst, over_run)
        print(
            f"{name:20} {np.median(seconds) * 1e6:7.1f} µs   over run {over_run:+6.1f}   over bound {over_bound:+6.1f}"
        )
    print(f"overhead of a call over the bare runtime's run: {worst:.1f} µs (at most {LIMIT_US:.0f})")
    return int(worst > LIMIT_US)


def _exported(folder: Path) -> Bundle:
    from lossrt.export.bundle_from_recipe import bundle_from_recipe
    from lossrt.export.cases import scene_source
    from lossrt.recipe import load_recipe
    from lossrt.validators.oracle.table import ORACLES

    recipe = load_recipe("mot17")
    return bundle_from_recipe(recipe, folder / "mot17", oracles=ORACLES, source=scene_source(recipe, seed=0))


if __name__ == "__main__":
    sys.exit(main())
