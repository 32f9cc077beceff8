"""`lossrt search`: the inputs that a graph handles worst."""

__all__ = ["search"]

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import BundleArgument, JsonOption, SeedOption, TrustOption

if TYPE_CHECKING:
    from lossrt.bundle import Bundle
    from lossrt.runtime.session import Session
    from lossrt.validators.search import Find, Oracle


def search(
    bundle: BundleArgument,
    graph: Annotated[str, typer.Option("--graph", help="The graph to search, or that --model stands for.")],
    model: Annotated[Path | None, typer.Option("--model", help="Search this file in the place of --graph.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="Precision of the graph.")] = "fp32",
    backend: Annotated[str, typer.Option("--backend", help="ort or ort-cuda.")] = "ort",
    iterations: Annotated[int, typer.Option("--iterations", min=1, help="Inputs to try.")] = 500,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0.1, help="Stop after this many.")] = None,
    seed: SeedOption = 0,
    keep: Annotated[Path | None, typer.Option("--keep", help="Write the worst inputs into this folder.")] = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search for the legal inputs with the largest error over the allowed one. Exit code 1 when one fails."""
    import math

    from lossrt.validators.search import search as find_worst
    from lossrt.validators.tolerances import DEFAULT_POLICY

    source = opened(bundle, trust=trust)
    oracle, path = _oracle(source, graph), model or _path(source, graph, precision)
    with console.progress_bar("search") as progress, _session(path, backend) as session:
        finds = find_worst(
            source.entry(graph).spec,
            session,
            oracle,
            starts=list(source.cases(graph, _known(source, graph, precision))),
            iterations=iterations,
            seconds=math.inf if seconds is None else seconds,
            seed=seed,
            progress=lambda done, worst: progress(f"worst {worst:.3g}x the allowed error", done, iterations),
        )
    if keep:
        _write(finds, keep, f"{graph}.{precision}")
    _show(finds, f"{graph}.{precision}", as_json=as_json)
    if not all(DEFAULT_POLICY.accepts(find.verdict.verdict) for find in finds):
        raise typer.Exit(1)


def _oracle(bundle: "Bundle", graph: str) -> "Oracle":
    from lossrt.errors import InputError
    from lossrt.validators.oracle.table import ORACLES

    entry, recipe = bundle.entry(graph), bundle.manifest.recipe
    if recipe is None or entry.oracle != "float64" or graph not in ORACLES:
        raise InputError(
            f"graph '{graph}': expected one that the float64 oracle knows ({', '.join(ORACLES)}); a user's own loss has "
            "its results for the golden cases only"
        )
    return partial(ORACLES[graph], recipe)


def _known(bundle: "Bundle", graph: str, precision: str) -> str:
    from lossrt.errors import InputError, nearest

    if precision not in bundle.entry(graph).precisions:
        raise InputError(
            f"precision '{precision}': graph '{graph}' lacks it; {nearest(precision, bundle.entry(graph).precisions)}"
        )
    return precision


def _path(bundle: "Bundle", graph: str, precision: str) -> Path:
    return bundle.graph_path(graph, _known(bundle, graph, precision))


def _session(path: Path, backend: str) -> "Session":
    from lossrt.errors import InputError, nearest
    from lossrt.runtime.ort import OrtSession

    if backend not in ("ort", "ort-cuda"):
        raise InputError(f"backend '{backend}': cannot be searched; {nearest(backend, ('ort', 'ort-cuda'))}")
    return OrtSession(path, device="cuda" if backend == "ort-cuda" else "cpu")


def _write(finds: "list[Find]", folder: Path, name: str) -> None:
    from lossrt.errors import StorageError
    from lossrt.validators.search import case_of

    for rank, find in enumerate(finds, start=1):
        path = folder / f"{name}.worst{rank}.safetensors"
        try:
            case_of(find, path.stem).save(path)
        except OSError as error:
            raise StorageError(f"case '{path}': cannot be written: {error}; choose another --keep") from error
    console.note(f"wrote {len(finds)} cases into {folder}")


def _show(finds: "list[Find]", name: str, *, as_json: bool) -> None:
    rows = [
        {
            "excess": find.excess,
            "verdict": find.verdict.verdict,
            "output": find.verdict.name,
            "index": list(find.verdict.index),
            "actual": find.verdict.actual,
            "oracle": find.verdict.oracle,
            "allowed": find.verdict.allowed,
            "changes": list(find.changes),
        }
        for find in finds
    ]
    if as_json:
        console.show_json({"graph": name, "worst": rows})
        return
    for find in finds:
        verdict = find.verdict
        at = f" at {list(verdict.index)}" if verdict.index else ""
        console.say(
            f"{verdict.verdict.upper()} {name} {verdict.name}{at}: got {verdict.actual:.9g}, oracle {verdict.oracle:.9g}, "
            f"{find.excess:.3g}x the allowed error ({verdict.allowed:.2g})"
        )
        first, *moves = find.changes
        last = f", the last: {'; '.join(moves[-3:])}" if moves else ""
        console.say(f"  {first}, {len(moves)} moves{last}")
