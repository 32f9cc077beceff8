"""A recipe → a bundle: every graph exported and gated, every golden case with PyTorch's result and the oracle's."""

__all__ = ["Oracle", "bundle_from_recipe"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx

from lossrt.bundle import Bundle, GraphEntry, Manifest, write_bundle
from lossrt.export.cases import CASES, Arrays, CaseSource, case_arrays
from lossrt.export.golden import Judges, checked_precisions
from lossrt.export.graph_files import GraphFiles, Progress, tool_versions, write_graph
from lossrt.export.head_step_cases import PERTURBED, step_cases
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph, onnx_from_module
from lossrt.models import GRAPHS, Graph, generic, graph_names, step_graphs
from lossrt.models.upstream import UpstreamLoss
from lossrt.recipe import Recipe
from lossrt.spec import Estimate, GraphSpec

Oracle = Callable[[Recipe, Arrays], Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class _Job:
    recipe: Recipe
    options: ExportOptions
    source: CaseSource
    oracles: Mapping[str, Oracle]
    precisions: tuple[str, ...]
    progress: Progress


def bundle_from_recipe(
    recipe: Recipe,
    out: Path,
    *,
    oracles: Mapping[str, Oracle],
    source: CaseSource,
    options: ExportOptions | None = None,
    precisions: Sequence[str] = ("fp32",),
    progress: Progress = lambda _what, _done, _total: None,
) -> Bundle:
    """Export a recipe: `lossrt export`.

    Args:
        recipe: The recipe.
        out: The bundle's folder; an older bundle there is replaced whole, or stays whole when anything fails.
        oracles: The float64 oracle of every graph.
        source: Annotations, predictions and seed of the golden cases.
        options: Target, gather form and open dimensions.
        precisions: Types of the maps: `fp32`, `fp16`, `bf16`; the loss mathematics is fp32 in all.
        progress: Called with what is being done, steps done and steps in all.

    Returns:
        The bundle as written.

    Raises:
        InputError: `out` holds something else, the source's arrays do not fit the recipe, or a precision is unknown or
            not to be had on the target.
        GateError: An exported graph fails a gate.
        StorageError: The disk refused.
    """
    chosen = options or ExportOptions()
    job = _Job(recipe, chosen, source, oracles, checked_precisions(precisions, chosen), progress)
    return write_bundle(out, lambda folder: _fill(folder, job))


def _fill(folder: Path, job: _Job) -> Manifest:
    for name in ("graphs", "baselines", "cases"):
        (folder / name).mkdir()
    names = graph_names(job.recipe)
    concerned = [case for case in CASES if any(CASES[case].concerns(name, job.recipe) for name in names)]
    trained = step_graphs(job.recipe)
    steps = len(concerned) + len(names) + len(trained) + 1
    cases = {}
    for done, case in enumerate(concerned):
        job.progress(f"case {case}", done, steps)
        batch = max(_images(case, name, job) for name in names)
        cases[case] = case_arrays(case, job.recipe, batch=batch, source=job.source)
    entries = {}
    for done, name in enumerate(names, start=len(concerned)):
        job.progress(f"graph {name}", done, steps)
        entries[name] = _write_graph(folder, name, GRAPHS[name], cases, job)
    for done, name in enumerate(trained, start=len(concerned) + len(names)):
        job.progress(f"graph {name}", done, steps)
        entries[name] = _write_step(folder, name, job)
    job.progress("baseline upstream", steps - 1, steps)
    baseline = onnx_from_module(UpstreamLoss(job.recipe), generic.spec(job.recipe), options=job.options)
    onnx.save(baseline, folder / "baselines" / "upstream.fp32.onnx")
    job.progress("done", 1, 1)
    return Manifest(
        name=job.recipe.name,
        recipe=job.recipe,
        target=job.options.target,
        gather=job.options.gather_written,
        dynamic=tuple(sorted(job.options.open_dims)),
        annotations=job.source.name,
        seed=job.source.seed,
        graphs=entries,
        tools=tool_versions(),
    )


def _images(case: str, graph: str, job: _Job) -> int:
    """A static graph takes its own shape only."""
    return CASES[case].images(graph, job.recipe) if "B" in job.options.open_dims else job.recipe.batch


def _write_graph(folder: Path, name: str, graph: Graph, cases: Mapping[str, Arrays], job: _Job) -> GraphEntry:
    spec = graph.spec(job.recipe)
    owner = graph.inputs_of or name
    files = GraphFiles(
        spec=spec,
        model=onnx_from_graph(graph, job.recipe, options=job.options),
        constants=graph.constants(job.recipe),
        cases={
            case: _inputs(graph, spec, arrays, job, images=_images(case, owner, job))
            for case, arrays in cases.items()
            if CASES[case].concerns(owner, job.recipe)
        },
        perturbed=("duplicates", "full"),
        judges=Judges(partial(graph.reference, job.recipe), partial(job.oracles[name], job.recipe)),
        inputs_of=graph.inputs_of,
    )
    return write_graph(folder, files, precisions=job.precisions)


def _write_step(folder: Path, name: str, job: _Job) -> GraphEntry:
    """Write a training step: in fp32 alone, since half-width weights do not learn."""
    graph = GRAPHS[name]
    files = GraphFiles(
        spec=graph.spec(job.recipe),
        model=onnx_from_graph(graph, job.recipe, options=job.options),
        constants=graph.constants(job.recipe),
        cases=step_cases(job.recipe, *step_graphs(job.recipe)[name], seed=job.source.seed),
        perturbed=PERTURBED,
        judges=Judges(partial(graph.reference, job.recipe), partial(job.oracles[name], job.recipe)),
    )
    return write_graph(folder, files, precisions=("fp32",))


def _inputs(graph: Graph, spec: GraphSpec, arrays: Arrays, job: _Job, *, images: int) -> Arrays:
    stand_ins = graph.stand_ins(job.recipe)
    chosen = {tensor.name: arrays[stand_ins.get(tensor.name, tensor.name)] for tensor in spec.inputs}
    return {t.name: chosen[t.name][:images] if t.dims[:1] == ("B",) else chosen[t.name] for t in spec.inputs}
