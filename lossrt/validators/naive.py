"""What a naive half-precision graph would give: upstream's formulation, converted whole as users do, beside ours."""

__all__ = ["naive_rows"]

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from lossrt.bundle import Bundle
from lossrt.passes.precision import HALF_TYPES
from lossrt.validators.precision.prediction import naive_results
from lossrt.validators.report import NaiveRow, Result

GRAPH = "generic_loss"
CASES = ("nominal", "saturated")


def naive_rows(
    bundle: Bundle,
    results: Sequence[Result],
    *,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> list[NaiveRow]:
    """Run the bundle's baseline with every tensor in half precision, for each half precision that was judged.

    Args:
        bundle: The bundle; without a baseline there is nothing to run.
        results: What was judged: our values and the oracle's.
        progress: Called with what is being done, runs done and runs in all.

    Returns:
        One row for each scalar loss of `generic_loss`, in the cases nominal and saturated.
    """
    if not bundle.baseline_path("fp32").is_file():
        return []
    judged = {(row.precision, row.case) for row in results if row.graph == GRAPH and row.precision in HALF_TYPES}
    runs = [(precision, case) for precision in HALF_TYPES for case in CASES if (precision, case) in judged]
    if not runs:
        return []
    baseline = onnx.load(bundle.baseline_path("fp32"))
    rows = []
    for done, (precision, case) in enumerate(runs):
        progress(f"naive {precision} {case}", done, len(runs))
        feeds = bundle.case(GRAPH, precision, case).input
        naive = naive_results(baseline, feeds, dtype=precision)
        ours = [row for row in results if (row.graph, row.precision, row.case) == (GRAPH, precision, case)]
        rows += [
            NaiveRow(
                precision=precision,
                case=case,
                output=row.output,
                oracle=row.oracle,
                actual=row.actual,
                naive=float(naive[row.output].astype(np.float64)),
            )
            for row in ours
            if row.output in naive and naive[row.output].size == 1
        ]
    return rows
