"""A user's own loss → a bundle: what ours get, theirs get too."""

__all__ = ["bundle_from_module"]

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from lossrt.bundle import Bundle, GraphEntry, Manifest, write_bundle
from lossrt.errors import InputError, LossrtError
from lossrt.export.gates import GateError
from lossrt.export.golden import Judges, checked_precisions
from lossrt.export.graph_files import GraphFiles, Progress, tool_versions, write_graph
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_module
from lossrt.export.random_inputs import RANDOM_CASES, random_case
from lossrt.export.user_graph import UserGraph
from lossrt.spec import GraphSpec

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def bundle_from_module(
    graph: UserGraph,
    out: Path,
    *,
    seed: int = 0,
    options: ExportOptions | None = None,
    precisions: Sequence[str] = ("fp32",),
    progress: Progress = lambda _what, _done, _total: None,
) -> Bundle:
    """Export a user's loss: `lossrt export my_losses.py:MyGraph`.

    Args:
        graph: The loss, from `lossrt.export.user_graph.load_user_graph`.
        out: The bundle's folder; an older bundle there is replaced whole, or stays whole when anything fails.
        seed: Seed of the cases, which are drawn from the value ranges of its SPEC.
        options: Target, gather form and open dimensions; those that the SPEC does not name stay out.
        precisions: Types of the maps.
        progress: Called with what is being done, steps done and steps in all.

    Raises:
        InputError: `out` holds something else, a precision is unknown or not to be had on the target, PyTorch cannot
            export the module, or the exported graph fails a gate.
        StorageError: The disk refused.
    """
    chosen = options or ExportOptions()
    types = checked_precisions(precisions, chosen)

    def fill(folder: Path) -> Manifest:
        for name in ("graphs", "baselines", "cases"):
            (folder / name).mkdir()
        progress("cases", 0, 2)
        cases = _cases(graph.spec, open_batch="B" in chosen.open_dims, seed=seed)
        progress(f"graph {graph.spec.name}", 1, 2)
        files = GraphFiles(
            spec=graph.spec,
            model=_exported(graph, chosen),
            constants=graph.constants,
            cases=cases,
            perturbed=("nominal", "ends"),
            judges=Judges(None if graph.own_oracle else graph.module, graph.oracle),
            oracle="float64" if graph.own_oracle else "self",
        )
        entry = _written(folder, files, types, place=graph.place)
        progress("done", 2, 2)
        return Manifest(
            name=graph.spec.name,
            recipe=None,
            target=chosen.target,
            gather=chosen.gather_written,
            dynamic=tuple(sorted(chosen.open_dims & set(graph.spec.sizes))),
            annotations="value ranges of the SPEC",
            seed=seed,
            graphs={graph.spec.name: entry},
            tools=tool_versions(),
        )

    return write_bundle(out, fill)


def _cases(spec: GraphSpec, *, open_batch: bool, seed: int) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the inputs of every case; the batch is the SPEC's where it is whole, or cannot be another."""
    whole = spec.sizes.get("B", 1)
    batches = {"nominal": whole, "single": 1} if open_batch else {}
    small = min(2, whole) if open_batch else whole
    return {name: random_case(name, spec, batch=batches.get(name, small), seed=seed) for name in RANDOM_CASES}


def _written(folder: Path, files: GraphFiles, precisions: tuple[str, ...], *, place: str) -> GraphEntry:
    """Write the graph and its cases; a gate that does not hold is the user's to mend."""
    try:
        return write_graph(folder, files, precisions=precisions)
    except GateError as error:
        raise InputError(
            f"{place}: its exported graph cannot go into a bundle: {error}; see docs/add-a-loss.md"
        ) from error


def _exported(graph: UserGraph, options: ExportOptions) -> onnx.ModelProto:
    try:
        return onnx_from_module(graph.module, graph.spec, options=options)
    except LossrtError:
        raise
    except Exception as error:  # torch.export's errors share no base
        origin: BaseException = error
        while origin.__cause__ is not None:
            origin = origin.__cause__
        reason = _COLOUR.sub("", str(origin)).strip().partition("\n")[0] or type(origin).__name__
        raise InputError(
            f"{graph.place}: PyTorch cannot export it: {reason}; avoid branches on data, boolean indexing and changes in "
            "place, as docs/add-a-loss.md says"
        ) from error
