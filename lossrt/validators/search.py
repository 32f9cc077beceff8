"""A seeded search for the inputs on which a graph is furthest from the oracle, in units of the allowed error.

It starts from the golden cases, changes one to three inputs at a time within their legal values, and goes on from the
worst that it has found. PyTorch takes no part: its own error is dropped from what is allowed.
"""

__all__ = ["Find", "case_of", "search"]

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lossrt.bundle import Case
from lossrt.errors import InputError
from lossrt.runtime.session import Session
from lossrt.spec import Estimate, GraphSpec, dim_sizes
from lossrt.validators.moves import moves_for
from lossrt.validators.tolerances import DEFAULT_POLICY, Policy, Verdict, judge

Arrays = Mapping[str, NDArray[Any]]
Oracle = Callable[[Arrays], Mapping[str, Estimate]]
MOST_MOVES = 3
FRESH = 0.25  # share of the steps that start from a golden case again


@dataclass(frozen=True, slots=True)
class Find:
    """Inputs and what a graph makes of them.

    Attributes:
        excess: Error over allowed error of the worst output; at most 1 passes.
        verdict: That output's verdict.
        changes: How the inputs came to be: a golden case, then the moves.
        inputs: The inputs by wire name.
        expected: The oracle's estimates by output.
    """

    excess: float
    verdict: Verdict
    changes: tuple[str, ...]
    inputs: dict[str, NDArray[Any]]
    expected: dict[str, Estimate]


def search(
    spec: GraphSpec,
    session: Session,
    oracle: Oracle,
    *,
    starts: Sequence[Case],
    iterations: int,
    seconds: float = math.inf,
    seed: int = 0,
    keep: int = 4,
    policy: Policy = DEFAULT_POLICY,
    progress: Callable[[int, float], None] | None = None,
) -> list[Find]:
    """Search for the inputs that a graph handles worst.

    Args:
        spec: The graph's signature, whose bounds hold.
        session: The graph, loaded.
        oracle: Its float64 oracle, on the arrays as deployed.
        starts: Golden cases to start from; those with values that are not finite are left out.
        iterations: Inputs to try.
        seconds: Stop after this many, whatever is left.
        seed: Seed of everything random; the same arguments find the same inputs unless time runs out.
        keep: How many of the worst to go on from and to return.
        policy: The constants of the tolerance.
        progress: Called after each try with their number and the worst excess.

    Returns:
        The worst inputs found, the worst first, at most `keep`, no two equally bad; golden cases may be among them.

    Raises:
        InputError: No case is finite, or a budget is not positive.
        BackendError: The graph fails on legal inputs.
    """
    finite = [case for case in starts if all(np.isfinite(array).all() for array in _floats(case.input))]
    if not finite:
        raise InputError(f"graph '{spec.name}': expected a golden case with finite inputs to start from; export again")
    if iterations < 1 or not seconds > 0 or keep < 1:
        raise InputError(
            f"search: expected iterations, seconds and keep > 0, got {iterations}, {seconds:g} and {keep}; give more"
        )
    rng, end = np.random.default_rng(seed), time.monotonic() + seconds
    known = [_tried(spec, session, oracle, case.input, (f"case {case.name}",), policy) for case in finite]
    worst = _worst(known, keep)
    for done in range(1, iterations + 1):
        if time.monotonic() > end:
            break
        parent = _one_of(rng, known if rng.random() < FRESH else worst)
        inputs, moves = _changed(rng, spec, parent.inputs)
        found = _tried(spec, session, oracle, inputs, (*parent.changes, *moves), policy)
        worst = _worst([*worst, found], keep)
        if progress:
            progress(done, worst[0].excess)
    return worst


def case_of(find: Find, name: str) -> Case:
    """Return the inputs with the oracle's results as a golden case, for `Case.save`."""
    return Case(
        name=name,
        input=find.inputs,
        oracle={output: estimate.value for output, estimate in find.expected.items()},
        scale={output: estimate.scale for output, estimate in find.expected.items()},
        terms={output: np.array(estimate.terms, dtype=np.int64) for output, estimate in find.expected.items()},
    )


def _worst(finds: Sequence[Find], keep: int) -> list[Find]:
    """Sort, the worst first, and keep one of those that are equally bad: the one with the shortest history."""
    kept: list[Find] = []
    for find in sorted(finds, key=lambda find: (-find.excess, len(find.changes))):
        if len(kept) < keep and (not kept or find.excess != kept[-1].excess):
            kept.append(find)
    return kept


def _one_of(rng: Generator, finds: Sequence[Find]) -> Find:
    return finds[int(rng.integers(0, len(finds)))]


def _floats(arrays: Arrays) -> list[NDArray[np.float64]]:
    return [array.astype(np.float64) for array in arrays.values() if array.dtype.kind not in "iub"]


def _changed(rng: Generator, spec: GraphSpec, inputs: Arrays) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Apply one to `MOST_MOVES` moves, each to an input drawn at random."""
    changed, names = dict(inputs), []
    sizes = dim_sizes(spec, inputs)
    for _ in range(int(rng.integers(1, MOST_MOVES + 1))):
        tensor = spec.inputs[int(rng.integers(0, len(spec.inputs)))]
        moves = moves_for(tensor, changed[tensor.name], sizes)
        name = sorted(moves)[int(rng.integers(0, len(moves)))]
        changed[tensor.name] = moves[name](rng, changed[tensor.name])
        names.append(f"{tensor.name} {name}")
    return changed, names


def _tried(
    spec: GraphSpec, session: Session, oracle: Oracle, inputs: Arrays, changes: tuple[str, ...], policy: Policy
) -> Find:
    given, expected = session.run(inputs), oracle(inputs)
    verdicts = [
        judge(output.name, given[output.name], expected[output.name], dtype=given[output.name].dtype, policy=policy)
        for output in spec.outputs
    ]
    excesses = [verdict.error / verdict.allowed for verdict in verdicts]
    at = int(np.argmax(excesses))
    return Find(excesses[at], verdicts[at], changes, dict(inputs), dict(expected))
