"""`docs/tolerances.md`: what was measured, and the constants that follow from it."""

__all__ = ["page"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.validators.tolerances import DEFAULT_POLICY, WARN_BAND

HEAD = """# Why the tolerance is what it is

    allowed = max(κ·rms(e_b), λ·√n·u·A, one unit in the last place, the subnormal floor)

e_b is PyTorch's own error against the float64 oracle, A the sum of the sizes of the n terms that were added, u the unit
roundoff of the accumulation (2⁻²⁴). An error up to the allowed one passes, up to {band:g} times that warns, above it fails.
κ = {kappa:g} and λ = {lam:g}. This page says what they were measured by. It is written by

    python -m tests.prove.calibrate --write docs/tolerances.md

## Correct implementations: how large the constants have to be

{small:,} seeds on a 34×60 map and {full:,} at full size; the kinds of golden cases take turns. Each column has the largest
value and, in brackets, the 99th percentile. Comparisons that agree to half a unit in the last place are left out.
"""


def page(
    *,
    sources: Mapping[str, NDArray[Any]],
    faults: Sequence[float],
    grid: Sequence[tuple[float, float, int, int, int]],
    seeds: tuple[int, int],
) -> str:
    """Return the page.

    Args:
        sources: By implementation: error / growth, error / baseline and excess of every comparison, [N, 3].
        faults: The excess of every mutant at the present constants, sorted.
        grid: λ, κ, false failures, false warnings, missed mutants.
        seeds: Seeds on the small map and at full size.
    """
    head = HEAD.format(
        band=WARN_BAND, kappa=DEFAULT_POLICY.kappa, lam=DEFAULT_POLICY.lam, small=seeds[0], full=seeds[1]
    )
    parts = [head, _sources(sources), _faults(faults), _grid(grid), _why(sources, faults, grid)]
    return "\n".join(parts)


def _sources(sources: Mapping[str, NDArray[Any]]) -> str:
    rows = [
        "| implementation | comparisons | error / (√n·u·A) | error / rms(e_b) | error / allowed |",
        "|---|---|---|---|---|",
    ]
    for source, values in sources.items():
        cells = [_largest(values[:, column]) for column in range(3)]
        rows.append(f"| {source} | {len(values):,} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _largest(values: NDArray[Any]) -> str:
    known = values[np.isfinite(values)]
    return f"{known.max():.2g} ({np.quantile(known, 0.99):.2g})" if known.size else "–"


def _faults(faults: Sequence[float]) -> str:
    finite = [excess for excess in faults if np.isfinite(excess)]
    quantiles = ", ".join(f"{share:.0%}: {np.quantile(finite, share):,.3g}" for share in (0.01, 0.05, 0.25, 0.5))
    return f"""## Wrong graphs: how small the constants have to stay

{len(faults):,} mutants of the four graphs of mot17, none of them equivalent, each judged at its worst output: error over
allowed error is {min(faults):,.3g} for the least visible one, and at least {WARN_BAND:g} is needed to fail. Quantiles of the
{len(finite):,} finite ones: {quantiles}. The others give NaN, inf, another shape, or nothing at all.
"""


def _grid(grid: Sequence[tuple[float, float, int, int, int]]) -> str:
    kappas = list(dict.fromkeys(kappa for _, kappa, *_ in grid))
    rows = [
        "## Other constants",
        "",
        "False failures / false warnings of correct implementations / mutants missed (the loops over a whole batch left out):",
        "",
        "| λ | " + " | ".join(f"κ = {kappa:g}" for kappa in kappas) + " |",
        "|---" * (len(kappas) + 1) + "|",
    ]
    for lam in dict.fromkeys(row[0] for row in grid):
        cells = [f"{failed} / {warned} / {missed}" for at, _, failed, warned, missed in grid if at == lam]
        rows.append(f"| {lam:g} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _why(
    sources: Mapping[str, NDArray[Any]],
    faults: Sequence[float],
    grid: Sequence[tuple[float, float, int, int, int]],
) -> str:
    graphs, loops, batches = (
        max(values[:, 2].max() for source, values in sources.items() if source.startswith(start))
        for start in ("ONNX", "one loop an image", "one loop over")
    )
    chosen = next(row for row in grid if row[:2] == (DEFAULT_POLICY.lam, DEFAULT_POLICY.kappa))
    clean = [row for row in grid if row[2] == 0 and row[4] == 0]
    pairs = ", ".join(f"({lam:g}, {kappa:g})" for lam, kappa, *_ in clean)
    return f"""## The choice

λ = {DEFAULT_POLICY.lam:g}, κ = {DEFAULT_POLICY.kappa:g}: {chosen[2]} false failures, {chosen[3]} false warnings, {chosen[4]} mutants missed.

- Room above: the exported graphs in ONNX Runtime stay at {graphs:.2g} of what is allowed, {WARN_BAND / graphs:.0f} times
  below a failure. A loop an image that adds one float32 after another comes to {loops:.2g}. One such loop over a whole
  batch at full size comes to {batches:.2g}: it loses three digits, as much as a mask scaled by 1.001, and is failed rightly.
- Room below: the least visible mutant is at {min(faults):.3g}, just above the {WARN_BAND:g} that fail; the first percentile
  is at {np.quantile([f for f in faults if np.isfinite(f)], 0.01):.3g}. Twice these constants lose mutants.
- Pairs (λ, κ) without a false failure and without a missed mutant: {pairs or "none"}. Among them the largest leave backends
  that sum in another order the most room, and these are the ones in use.
- κ counts where PyTorch's own form is the worse one, at saturated heatmaps. Alone it would fail correct results: both
  errors are single draws, and PyTorch's may be next to nothing by chance: see error / rms(e_b).
"""
