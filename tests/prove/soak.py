"""Calls of `LossSession` from four threads: no memory lost, every result the first one's bits.

`python -m tests.prove.soak [BUNDLE] [--calls 100000]`. Half of the calls are on arrays that stay bound, half on arrays of
their own, by turns with other batch sizes, so that arrays are bound and outputs allocated again and again.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lossrt.bundle import Bundle
from lossrt.device.loss_session import LossSession
from tests.prove.exported import given_or_exported

GRAPH = "generic_loss"
THREADS = 4
MOST_GROWTH_MB = 8.0  # 100 bytes a call; four threads' copies of a batch take about as much, on and off
WARM_UP = 2  # tenths


@dataclass
class Soak:
    """What a soak found: memory at each tenth of the calls, MB, and calls whose result differed."""

    memory_mb: list[float] = field(default_factory=list)
    different: int = 0
    seconds: float = 0.0

    @property
    def growth_mb(self) -> float:
        """Most memory after the warm-up over that at its end."""
        return max(self.memory_mb[WARM_UP - 1 :]) - self.memory_mb[WARM_UP - 1]


def memory_mb() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def soak(bundle: Bundle, *, calls: int) -> Soak:
    """Call from all threads; the arrays are the golden cases, one image and as many as they have."""
    feeds = [_first(case.input, size) for case in bundle.cases(GRAPH, "fp32") for size in (1, 2)][:8]
    with LossSession.from_bundle(bundle) as session:
        first = [_bits(session(arrays)) for arrays in feeds]
        found, lock, done = Soak(), threading.Lock(), [0]

        def work(number: int) -> None:
            for turn in range(calls // THREADS):
                case = (number + turn // 2 * (turn % 2)) % len(feeds)
                arrays = feeds[case] if turn % 4 else {name: array.copy() for name, array in feeds[case].items()}
                same = _bits(session(arrays)) == first[case]
                with lock:
                    found.different += not same
                    done[0] += 1
                    if done[0] >= (len(found.memory_mb) + 1) * calls / 10:
                        found.memory_mb.append(memory_mb())

        started = time.perf_counter()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found.seconds = time.perf_counter() - started
    return found


def _first(arrays: Mapping[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    return {name: array[:size].copy() if array.ndim else array for name, array in arrays.items()}


def _bits(results: Mapping[str, np.ndarray]) -> bytes:
    return b"".join(results[name].tobytes() for name in sorted(results))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="mot17, exported for it, without it")
    parser.add_argument("--calls", type=int, default=100_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(given_or_exported(chosen.bundle, Path(folder)), calls=chosen.calls)
    print(f"{chosen.calls} calls from {THREADS} threads in {found.seconds:.0f} s; {found.different} results differed")
    print("memory at each tenth, MB: " + " ".join(f"{value:.1f}" for value in found.memory_mb))
    print(f"growth after the first {WARM_UP} tenths: {found.growth_mb:.1f} MB (at most {MOST_GROWTH_MB})")
    return int(bool(found.different) or found.growth_mb > MOST_GROWTH_MB)


if __name__ == "__main__":
    sys.exit(main())
