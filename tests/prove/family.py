"""Every preset's whole loss in ONNX Runtime against the float64 oracle: `make prove-family`.

Prints, for each recipe, the worst relative error of any output over the seeds; 2e-6 is the bar. Outputs whose terms cancel
have no relative accuracy to speak of; none of these losses has such terms.
"""

import argparse
import sys

import numpy as np
from rich.console import Console
from rich.progress import track

from lossrt.export.cases import case_arrays, scene_source
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS
from lossrt.recipe import load_recipe, preset_names
from lossrt.runtime.ort import OrtSession
from lossrt.validators.oracle.table import ORACLES

BAR = 2e-6
GRAPH = "generic_loss"


def worst_error(name: str, *, seeds: int) -> tuple[float, str]:
    """Return the worst relative error of a preset over the seeds, and which output and seed it is."""
    recipe = load_recipe(name, batch=2)
    model = onnx_from_graph(GRAPHS[GRAPH], recipe, options=ExportOptions())
    worst = (0.0, "")
    with OrtSession(model.SerializeToString()) as session:
        for seed in range(seeds):
            arrays = case_arrays("nominal", recipe, batch=2, source=scene_source(recipe, seed=seed))
            given = session.run(arrays)
            for output, estimate in ORACLES[GRAPH](recipe, arrays).items():
                error = np.abs(given[output].astype(np.float64) - estimate.value)
                # Where the loss is exactly 0 there is no relative error: anything but 0 is past the bar.
                error = error / np.where(estimate.value == 0, 1e-30, np.abs(estimate.value))
                worst = max(worst, (float(np.max(error)), f"{output}, seed {seed}"))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    failed = False
    for name in track(preset_names(), "recipes", console=Console(stderr=True), transient=True):
        error, where = worst_error(name, seeds=seeds)
        failed |= not error <= BAR
        print(f"{name}: worst relative error {error:.2e} ({where}), {seeds} seeds", flush=True)
    print(f"every recipe within {BAR:g}" if not failed else f"FAILED: past {BAR:g}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
