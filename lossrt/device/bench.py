"""Time several ways to compute the same thing, side by side in one run.

One round calls every contender once, so that a machine whose speed drifts drifts for all of them; what is compared is
the ratio within a round, never times of different runs.
"""

__all__ = ["BenchRow", "bench"]

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError


@dataclass(frozen=True, slots=True)
class BenchRow:
    """What the rounds say of one contender.

    Attributes:
        name: Contender.
        median_ms: Median time of a call, ms.
        p90_ms: 90th percentile, ms.
        p99_ms: 99th percentile, ms.
        spread_ms: Interquartile range, ms: between the 25th and the 75th percentile.
        per_s: Calls a second, by the median.
        ratio: Median over the rounds of its time over the baseline's in the same round.
    """

    name: str
    median_ms: float
    p90_ms: float
    p99_ms: float
    spread_ms: float
    per_s: float
    ratio: float


def bench(
    contenders: Mapping[str, Callable[[], object]],
    *,
    baseline: str,
    iterations: int = 50,
    warm_up: int = 5,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> list[BenchRow]:
    """Time the contenders in turn.

    Args:
        contenders: Calls by name.
        baseline: The contender that ratios refer to.
        iterations: Rounds that count.
        warm_up: Rounds before them that do not.
        progress: Called with what is being done, rounds done and rounds in all.

    Returns:
        One row a contender, in the order given.

    Raises:
        InputError: There is no round, or no contender called `baseline`.
    """
    if iterations < 1 or warm_up < 0:
        raise InputError(
            f"bench: expected at least one iteration and no negative warm-up, got {iterations} and {warm_up}"
        )
    if baseline not in contenders:
        raise InputError(f"bench: expected the baseline '{baseline}' among {', '.join(contenders)}")
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(warm_up + iterations):
        progress("warm-up" if round_ < warm_up else "timing", round_, warm_up + iterations)
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            taken = time.perf_counter() - start
            if round_ >= warm_up:
                seconds[name].append(taken)
    base = np.array(seconds[baseline])
    return [_row(name, np.array(taken), base) for name, taken in seconds.items()]


def _row(name: str, taken: NDArray[np.float64], base: NDArray[np.float64]) -> BenchRow:
    p25, median, p75, p90, p99 = (float(value) * 1e3 for value in np.percentile(taken, [25, 50, 75, 90, 99]))
    ratio = float(np.median(taken / base))
    return BenchRow(name, median, p90, p99, spread_ms=p75 - p25, per_s=1e3 / median, ratio=ratio)
