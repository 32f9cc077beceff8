"""What a call of `LossSession` costs over ONNX Runtime itself: `python -m tests.prove.overhead [BUNDLE]`.

Every round calls each contender once, in an order of its own, so that a busy machine is busy for all. The median of
the differences within a round is printed; what counts is the difference of the tenth percentiles. `bound` is the least
that ONNX Runtime can do: everything bound beforehand.
"""

import argparse
import itertools
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lossrt.bundle import Bundle, Case
from lossrt.device.loss_session import LossSession
from lossrt.runtime.ort import OrtSession
from tests.prove.exported import given_or_exported

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
    # One a contender: in a round both have the same arrays, which the one before has, or has not, left in the cache.
    bare_turn, our_turn = itertools.cycle((0, 1)), itertools.cycle((0, 1))
    return {
        "bare run": lambda: bare.run(None, feeds[0]),
        "bare run, by turns": lambda: bare.run(None, feeds[next(bare_turn)]),
        "bare bound": lambda: bare.run_with_iobinding(bindings[0]),
        "session": lambda: ours[0](feeds[0]),
        "session, by turns": lambda: ours[1](feeds[next(our_turn)]),
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


def _tenth(seconds: np.ndarray) -> float:
    """The tenth percentile, µs."""
    return float(np.percentile(seconds, 10)) * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="mot17, exported for it, without it")
    parser.add_argument("--rounds", type=int, default=2000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        taken = differences(contenders(given_or_exported(chosen.bundle, Path(folder))), rounds=chosen.rounds)
    worst = -math.inf
    print("µs, median; in brackets the tenth percentile, which other programs disturb least")
    for name, seconds in taken.items():
        run = taken["bare run, by turns" if name.endswith("by turns") else "bare run"]
        figures = [f"{np.median(seconds) * 1e6:7.1f}"]
        for title, base in (("run", run), ("bound", taken["bare bound"])):
            median, least = float(np.median(seconds - base)) * 1e6, _tenth(seconds) - _tenth(base)
            figures.append(f"over {title} {median:+6.1f} ({least:+6.1f})")
            if name.startswith("session") and title == "run":
                worst = max(worst, least)
        print(f"{name:20} {'   '.join(figures)}")
    print(f"overhead of an undisturbed call over the bare runtime's run: {worst:.1f} µs (at most {LIMIT_US:.0f})")
    return int(worst > LIMIT_US)


if __name__ == "__main__":
    sys.exit(main())
