"""Measure what κ and λ have to be: `python -m tests.prove.calibrate --write docs/tolerances.md`.

Correct implementations say how large the constants must be, mutants how small they must stay. Nothing runs twice: every
verdict keeps the parts of its allowed error, so that any pair of constants can be tried on it.
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lossrt.bundle import replace_file
from lossrt.cli.console import progress_bar, say
from lossrt.export.bundle_from_recipe import bundle_from_recipe
from lossrt.export.cases import scene_source
from lossrt.recipe import Recipe, load_recipe
from lossrt.validators.allowance import Allowance
from lossrt.validators.oracle.table import ORACLES
from lossrt.validators.tolerances import DEFAULT_POLICY, WARN_BAND, judge
from tests.export.graphs import NAMES
from tests.prove.equivalents import excuse
from tests.prove.loops import loop_losses
from tests.prove.mutants import mutants
from tests.prove.page import page
from tests.prove.seeds import graphs_of, measured
from tests.prove.verdicts import HeldBundle, judged

KAPPAS = (1.0, 2.0, 4.0, 8.0, 16.0)
LAMBDAS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
SMALL = {"input": (136, 240), "max_objs": 32, "batch": 2}


@dataclass(frozen=True, slots=True)
class Sample:
    """One comparison: an error and what is allowed for it.

    Attributes:
        source: Who computed it, for example `ONNX Runtime fp32, 34×60`.
        error: |value − oracle|.
        allowance: The parts of the allowed error.
        counts: False where the constants need not let it pass.
    """

    source: str
    error: float
    allowance: Allowance
    counts: bool = True

    def excess(self, kappa: float, lam: float) -> float:
        """Return the error over the allowed error."""
        return self.error / self.allowance.allowed(kappa, lam)


def main() -> None:
    """Measure, and print the page or write it."""
    options = argparse.ArgumentParser(prog="python -m tests.prove.calibrate", description=__doc__)
    options.add_argument("--seeds", type=int, default=500, help="seeds on the small map")
    options.add_argument("--full", type=int, default=20, help="seeds at full size")
    options.add_argument("--write", type=Path, help="file to write; standard output without it")
    given = options.parse_args()
    correct = [
        *_correct(load_recipe("mot17", **SMALL), given.seeds),
        *_correct(load_recipe("mot17"), given.full),
    ]
    wrong = list(_wrong())
    text = page(
        sources=_by_source(correct),
        faults=sorted(max(s.excess(DEFAULT_POLICY.kappa, DEFAULT_POLICY.lam) for s in samples) for samples in wrong),
        grid=[(lam, kappa, *_tried(kappa, lam, correct, wrong)) for lam in LAMBDAS for kappa in KAPPAS],
        seeds=(given.seeds, given.full),
    )
    if given.write:
        replace_file(given.write, text.encode())
        say(f"wrote {given.write}")
    else:
        say(text)


def _correct(recipe: Recipe, seeds: int) -> Iterator[Sample]:
    """Yield every comparison of the exported graphs, of PyTorch itself and of plain loops."""
    height, width = recipe.map_size
    size = f"{height}×{width}, B {recipe.batch}"
    with progress_bar("seeds") as progress:
        progress(f"exporting {size}", 0, seeds)
        candidates = graphs_of(recipe)
        for seed in range(seeds):
            progress(size, seed, seeds)
            for found in measured(recipe, candidates, seed=seed, batch=recipe.batch):
                verdict = found.verdict
                yield Sample(f"ONNX Runtime {found.precision}, {size}", verdict.error, verdict.allowance)
            yield from _looped(recipe, seed, size)


def _looped(recipe: Recipe, seed: int, size: str) -> Iterator[Sample]:
    """Yield the losses as loops that add one float32 after another, an image each or the whole batch in one."""
    scene = scene_source(recipe, seed=seed)
    for whole in (False, True):
        for arrays, graph, value in loop_losses(recipe, scene, whole=whole):
            expected = ORACLES[graph](recipe, arrays)["loss"]
            verdict = judge("loss", np.asarray(value), expected)
            how = "one loop over the batch" if whole else "one loop an image"
            source = f"{how}, {expected.terms:,} terms, {size}"
            yield Sample(source, verdict.error, verdict.allowance, counts=not whole)


def _wrong() -> Iterator[list[Sample]]:
    """Yield, for every mutant that does not mean the same, all its comparisons."""
    recipe = load_recipe("mot17")
    with tempfile.TemporaryDirectory() as folder, progress_bar("mutants") as progress:
        progress("exporting", 0, 1)
        place = Path(folder) / "mot17"
        bundle = bundle_from_recipe(recipe, place, oracles=ORACLES, source=scene_source(recipe, seed=0))
        held = HeldBundle(bundle)
        graphs = [onnx.load(bundle.graph_path(graph, "fp32")) for graph in NAMES]
        every = [mutant for graph in graphs for mutant in mutants(graph)]
        for done, mutant in enumerate(every):
            progress(mutant.graph, done, len(every))
            samples = _judged(held, mutant.graph, mutant.model)
            excused = excuse(mutant) and not _fails(samples, DEFAULT_POLICY.kappa, DEFAULT_POLICY.lam)
            if samples and not excused:
                yield samples


def _judged(held: HeldBundle, graph: str, model: onnx.ModelProto) -> list[Sample]:
    try:
        results = judged(held, graph, model)
    except Exception:  # a mutant that does not load says nothing of the constants
        return []
    return [Sample("mutant", row.error, row.allowance) for row in results if row.allowance]


def _fails(samples: Iterable[Sample], kappa: float, lam: float) -> bool:
    return any(sample.excess(kappa, lam) > WARN_BAND for sample in samples)


def _tried(kappa: float, lam: float, correct: list[Sample], wrong: list[list[Sample]]) -> tuple[int, int, int]:
    """Return false failures, false warnings and missed mutants of a pair of constants."""
    excesses = np.array([sample.excess(kappa, lam) for sample in correct if sample.counts])
    failed, warned = int((excesses > WARN_BAND).sum()), int(((excesses > 1) & (excesses <= WARN_BAND)).sum())
    return failed, warned, sum(not _fails(samples, kappa, lam) for samples in wrong)


def _by_source(samples: list[Sample]) -> Mapping[str, NDArray[Any]]:
    """Return, for each source, error / growth and error / baseline of every comparison, and the excess, [N, 3]."""
    groups: dict[str, list[tuple[float, float, float]]] = {}
    for sample in samples:
        parts = sample.allowance
        # Below the floor only flushing counts; a copied value has no sum behind it.
        if sample.error > max(parts.floor, parts.place / 2) and parts.growth:
            ratios = (sample.error / parts.growth, sample.error / parts.baseline if parts.baseline else np.nan)
            excess = sample.excess(DEFAULT_POLICY.kappa, DEFAULT_POLICY.lam)
            groups.setdefault(sample.source, []).append((*ratios, excess))
    return {source: np.array(rows) for source, rows in groups.items()}


if __name__ == "__main__":
    main()
