"""`make prove`: the validator held to its word. It catches every mutant, names where it is, and fails nothing correct.

Prints what it tried and ends with exit code 1 when anything does not hold.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx

from lossrt.bundle import Bundle
from lossrt.cli.console import progress_bar, say
from lossrt.export.bundle_from_recipe import bundle_from_recipe
from lossrt.export.cases import scene_source
from lossrt.passes.inline import inline_functions
from lossrt.recipe import load_recipe
from lossrt.runtime.ort import OrtSession
from lossrt.validators.bisect import bisect
from lossrt.validators.oracle.table import ORACLES
from tests.export.graphs import NAMES
from tests.prove.equivalents import EQUIVALENTS, excuse
from tests.prove.faults import FAULTS
from tests.prove.mutants import Mutant, mutants
from tests.prove.seeds import graphs_of, measured
from tests.prove.verdicts import HeldBundle, exit_code, outcome_of, same_bits

FEWEST_MUTANTS = 60
Step = Callable[[str, int, int], None]


def main() -> None:
    """Run every part and leave with exit code 1 when one did not hold."""
    options = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    options.add_argument("--seeds", type=int, default=1000, help="seeds on the small map")
    options.add_argument("--full", type=int, default=20, help="seeds at full size")
    given = options.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = _exported(Path(folder) / "mot17")
        problems = [*_mutants(bundle), *_commands(bundle, Path(folder)), *_bisections(bundle)]
    problems += [*_seeds(given.seeds, full=False), *_seeds(given.full, full=True)]
    for problem in problems:
        say(f"PROBLEM {problem}")
    say(f"{'NOT PROVED' if problems else 'proved'} in {time.monotonic() - start:.0f} s")
    sys.exit(bool(problems))


def _exported(place: Path) -> Bundle:
    recipe = load_recipe("mot17")
    with progress_bar("export") as progress:
        return bundle_from_recipe(
            recipe, place, oracles=ORACLES, source=scene_source(recipe, seed=0), progress=progress
        )


def _every_mutant(bundle: Bundle) -> list[Mutant]:
    return [mutant for graph in NAMES for mutant in mutants(onnx.load(bundle.graph_path(graph, "fp32")))]


def _mutants(bundle: Bundle) -> Iterator[str]:
    """Judge every mutant; yield those that are not caught and not excused."""
    held, every = HeldBundle(bundle), _every_mutant(bundle)
    outcomes, reasons, holes = Counter[str](), Counter[str](), list[str]()
    with progress_bar("mutants") as progress:
        for done, mutant in enumerate(every):
            progress(mutant.graph, done, len(every))
            outcome = outcome_of(held, mutant)
            outcomes[outcome] += 1
            if outcome == "survived":
                entry = excuse(mutant)
                if entry is None or (entry.same_bits and not same_bits(held, mutant)):
                    holes.append(f"not caught: {mutant.name}")
                else:
                    reasons[entry.reason] += 1
    models = len(every) - outcomes["refused"]
    say(f"{models:,} mutants of {len(NAMES)} graphs: {outcomes['caught']:,} caught (exit 1), ")
    say(f"  {sum(reasons.values())} mean the same as the original, {len(holes)} missed")
    say(f"  ({outcomes['refused']} more are no models: ONNX Runtime refuses to load them, exit 2)")
    for reason, count in reasons.most_common():
        say(f"  {count:4} {reason}")
    yield from holes
    yield from (f"stale entry of equivalents: {entry.reason}" for entry in EQUIVALENTS if not reasons[entry.reason])
    if outcomes["caught"] < FEWEST_MUTANTS:
        yield f"expected at least {FEWEST_MUTANTS} mutants caught, got {outcomes['caught']}"


def _one_a_kind(bundle: Bundle, graph: str) -> list[Mutant]:
    """Return one mutant of each kind, from the middle of a graph."""
    every = list(mutants(onnx.load(bundle.graph_path(graph, "fp32"))))
    by_kind = {kind: [m for m in every if m.kind == kind and not excuse(m)] for kind in (*FAULTS, "outputs")}
    return [found[len(found) // 2] for found in by_kind.values() if found]


def _commands(bundle: Bundle, folder: Path) -> Iterator[str]:
    """Run the real command on one mutant of each kind, and on the graph itself."""
    chosen = _one_a_kind(bundle, "generic_loss")
    with progress_bar("command line") as progress:
        for done, mutant in enumerate(chosen):
            progress(mutant.kind, done, len(chosen))
            code = exit_code(bundle.root, mutant.graph, mutant.model, folder)
            if code != 1:
                yield f"`lossrt validate --model` left with {code}, expected 1: {mutant.name}"
    original = onnx.load(bundle.graph_path("generic_loss", "fp32"))
    if code := exit_code(bundle.root, "generic_loss", original, folder):
        yield f"`lossrt validate --model` left with {code} on the graph itself"
    say(f"`lossrt validate --model` on {len(chosen)} of them: exit 1 each; on the graph itself: exit 0")


def _bisections(bundle: Bundle) -> Iterator[str]:
    """Find one mutant of each kind: the node that is named must be the wrong one or read it."""
    chosen = [mutant for mutant in _one_a_kind(bundle, "generic_loss") if mutant.kind not in ("dtype", "outputs")]
    named = 0
    with progress_bar("bisect") as progress:
        for done, mutant in enumerate(chosen):
            progress(mutant.kind, done, len(chosen))
            found = bisect(
                bundle, mutant.graph, mutant.model, open_model=lambda content: OrtSession(content, threads=1)
            )
            if found is not None and found.node in _suspects(mutant):
                named += 1
            else:
                yield f"bisect named {found}, expected {' or '.join(sorted(_suspects(mutant)))}: {mutant.name}"
    say(f"bisect on {len(chosen)} of them: {named} times the wrong node or its reader")


def _suspects(mutant: Mutant) -> set[str]:
    """Return the nodes that may be named: the one that is wrong, what was put before it, and what reads it."""
    nodes = inline_functions(mutant.model).graph.node
    wrong = [node for node in nodes if mutant.node in node.name or node.name.startswith("mutant_")]
    outputs = {name for node in wrong for name in node.output}
    readers = [node for node in nodes if outputs & set(node.input)]
    return {node.name or node.output[0] for node in (*wrong, *readers)}


def _seeds(count: int, *, full: bool) -> Iterator[str]:
    """Judge correct graphs on many inputs; yield each that is failed falsely."""
    recipe = load_recipe("mot17") if full else load_recipe("mot17", input=(136, 240), max_objs=32, batch=2)
    height, width = recipe.map_size
    size = f"B {recipe.batch}, {height}×{width}, M {recipe.max_objs}"
    verdicts = Counter[str]()
    worst = 0.0
    with progress_bar("seeds") as progress:
        progress(f"exporting {size}", 0, count)
        candidates = graphs_of(recipe)
        for seed in range(count):
            progress(size, seed, count)
            for found in measured(recipe, candidates, seed=seed, batch=recipe.batch):
                verdict = found.verdict
                verdicts[verdict.verdict] += 1
                worst = max(worst, verdict.error / verdict.allowed)
                if verdict.verdict == "fail":
                    where = f"{found.graph}.{found.precision} {verdict.name}, case {found.case}, seed {seed}, {size}"
                    yield f"false failure: {where}: {verdict.error / verdict.allowed:.3g}x the allowed error"
    say(f"{count:,} seeds x {len(candidates)} graphs and precisions at {size}: {verdicts.total():,} comparisons, ")
    say(f"  {verdicts['fail']} false failures, {verdicts['warn']} warnings, worst {worst:.2g}x the allowed error")


if __name__ == "__main__":
    main()
