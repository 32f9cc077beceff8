"""Every preset's gradients in ONNX Runtime against the float64 oracle, in every golden case: `make prove-family`.

Prints, for each recipe, the worst error of any element in units of its tensor's largest gradient, over all cases but the
saturated one, and for that one alone; 1e-6 and 5e-6 are the bars. An element on a kink, where rounding decides which of
two slopes is the right one, is counted and left out.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.progress import track

from lossrt.export.cases import CASES, Arrays, case_arrays, scene_source
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS
from lossrt.recipe import Recipe, load_recipe, preset_names
from lossrt.runtime.ort import OrtSession
from lossrt.spec import Estimate
from lossrt.validators.oracle.gradients import loss_gradients

BAR, SATURATED_BAR = 1e-6, 5e-6
GRAPH, INPUTS_OF = "generic_loss_grad", "generic_loss"


@dataclass(slots=True)
class Finding:
    """The worst of a recipe: error over the tensor's largest gradient, and where."""

    worst: float = 0.0
    where: str = ""
    on_kinks: int = 0
    cases: dict[str, float] = field(default_factory=dict)

    def add(self, case: str, output: str, actual: np.ndarray, expected: Estimate) -> None:
        """Count one tensor."""
        ratio, kinks = error_ratio(actual.astype(np.float64), expected)
        self.on_kinks += kinks
        self.cases[case] = max(self.cases.get(case, 0.0), ratio)
        if case != "saturated" and ratio > self.worst:
            self.worst, self.where = ratio, f"{output}, case {case}"


def error_ratio(actual: np.ndarray, expected: Estimate) -> tuple[float, int]:
    """Return the largest error over the largest gradient, and how many elements lie on a kink.

    A gradient that is 0 everywhere must be 0: anything else is infinitely wrong. NaN must be where the oracle has it.
    """
    value = expected.value
    if not np.array_equal(np.isnan(actual), np.isnan(value)):
        return np.inf, 0
    largest = float(np.nanmax(np.abs(value), initial=0.0))
    kinks = expected.undecided
    error = np.where(kinks | np.isnan(value), 0.0, np.abs(actual - value))
    worst = float(error.max())
    return (worst / largest if largest else (np.inf if worst else 0.0)), int(kinks.sum())


def worst_errors(recipe: Recipe, *, seed: int) -> Finding:
    """Return the worst error of a recipe's gradients over all golden cases."""
    model = onnx_from_graph(GRAPHS[GRAPH], recipe, options=ExportOptions())
    finding = Finding()
    with OrtSession(model.SerializeToString()) as session:
        for case, golden in CASES.items():
            if golden.concerns(INPUTS_OF, recipe):
                images = golden.images(INPUTS_OF, recipe)
                arrays = case_arrays(case, recipe, batch=images, source=scene_source(recipe, seed=seed))
                given = session.run(_inputs(recipe, arrays))
                for output, expected in loss_gradients(recipe, arrays).items():
                    finding.add(case, output, given[output], expected)
    return finding


def _inputs(recipe: Recipe, arrays: Arrays) -> Mapping[str, np.ndarray]:
    return {spec.name: arrays[spec.name] for spec in GRAPHS[GRAPH].spec(recipe).inputs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", default=preset_names(), help="presets; all without any")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    failed = False
    for name in track(given.recipes, "recipes", console=Console(stderr=True), transient=True):
        started = time.monotonic()
        found = worst_errors(load_recipe(name), seed=given.seed)
        saturated = found.cases["saturated"]
        failed |= not (found.worst <= BAR and saturated <= SATURATED_BAR)
        print(
            f"{name}: worst error {found.worst:.2e} of the largest gradient ({found.where or 'none'}), saturated "
            f"{saturated:.2e}, {len(found.cases)} cases, {found.on_kinks} elements on a kink, "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
    print(f"every recipe within {BAR:g}, saturated within {SATURATED_BAR:g}" if not failed else "FAILED")
    sys.exit(failed)


if __name__ == "__main__":
    main()
