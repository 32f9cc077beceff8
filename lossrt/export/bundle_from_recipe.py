"""A recipe → a bundle: every graph exported and gated, every golden case with PyTorch's result and the oracle's."""

__all__ = ["Oracle", "Progress", "bundle_from_recipe"]

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from lossrt.bundle import Bundle, Case, GraphEntry, Manifest, write_bundle
from lossrt.export.cases import CASES, Arrays, CaseSource, case_arrays
from lossrt.export.gates import check_model, exempt_inputs
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph, onnx_from_module
from lossrt.models import GRAPHS, Graph, generic, graph_names
from lossrt.models.upstream import UpstreamLoss
from lossrt.recipe import Recipe
from lossrt.spec import Estimate, GraphSpec, check_arrays

Oracle = Callable[[Recipe, Mapping[str, NDArray[Any]]], dict[str, Estimate]]
Progress = Callable[[str, int, int], None]
TOOLS = ("lossrt", "torch", "onnx", "onnxscript", "numpy")


@dataclass(frozen=True, slots=True)
class _Job:
    recipe: Recipe
    options: ExportOptions
    source: CaseSource
    oracles: Mapping[str, Oracle]
    progress: Progress


def bundle_from_recipe(
    recipe: Recipe,
    out: Path,
    *,
    oracles: Mapping[str, Oracle],
    source: CaseSource,
    options: ExportOptions | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> Bundle:
    """Export a recipe: `lossrt export`.

    Args:
        recipe: The recipe.
        out: The bundle's folder; an older bundle there is replaced whole, or stays whole when anything fails.
        oracles: The float64 oracle of every graph.
        source: Annotations, predictions and seed of the golden cases.
        options: Target, gather form and open dimensions.
        progress: Called with what is being done, steps done and steps in all.

    Returns:
        The bundle as written.

    Raises:
        InputError: `out` holds something else, or the source's arrays do not fit the recipe.
        GateError: An exported graph fails a gate.
        StorageError: The disk refused.
    """
    job = _Job(recipe, options or ExportOptions(), source, oracles, progress)
    return write_bundle(out, lambda folder: _fill(folder, job))


def _fill(folder: Path, job: _Job) -> Manifest:
    for name in ("graphs", "baselines", "cases"):
        (folder / name).mkdir()
    names = graph_names(job.recipe)
    steps = len(CASES) + len(names) + 1
    cases = {}
    for done, case in enumerate(CASES):
        job.progress(f"case {case}", done, steps)
        batch = max(_images(case, name, job) for name in names)
        cases[case] = case_arrays(case, job.recipe, batch=batch, source=job.source)
    entries = {}
    for done, name in enumerate(names, start=len(CASES)):
        job.progress(f"graph {name}", done, steps)
        entries[name] = _write_graph(folder, name, GRAPHS[name], cases, job)
    job.progress("baseline upstream", steps - 1, steps)
    baseline = onnx_from_module(UpstreamLoss(job.recipe), generic.spec(job.recipe), options=job.options)
    onnx.save(baseline, folder / "baselines" / "upstream.fp32.onnx")
    job.progress("done", 1, 1)
    return Manifest(
        recipe=job.recipe,
        target=job.options.target,
        gather=job.options.gather_written,
        dynamic=tuple(sorted(job.options.open_dims)),
        annotations=job.source.name,
        seed=job.source.seed,
        graphs=entries,
        tools={tool: importlib.metadata.version(tool) for tool in TOOLS},
    )


def _images(case: str, graph: str, job: _Job) -> int:
    """A static graph takes its own shape only."""
    return CASES[case].images(graph, job.recipe) if "B" in job.options.open_dims else job.recipe.batch


def _write_graph(folder: Path, name: str, graph: Graph, cases: Mapping[str, Arrays], job: _Job) -> GraphEntry:
    spec = graph.spec(job.recipe)
    model = onnx_from_graph(graph, job.recipe, options=job.options)
    feeds = _inputs(graph, spec, cases["duplicates"], job, images=_images("duplicates", name, job))
    check_model(model, spec, constants=graph.constants(job.recipe), feeds=feeds)
    onnx.save(model, folder / "graphs" / f"{name}.fp32.onnx")
    kept = {case: arrays for case, arrays in cases.items() if CASES[case].concerns(name)}
    for case, arrays in kept.items():
        inputs = _inputs(graph, spec, arrays, job, images=_images(case, name, job))
        check_arrays(spec, inputs)
        golden = _golden(case, name, graph, inputs, job)
        golden.save(folder / "cases" / f"{name}.fp32" / f"{case}.safetensors")
    return GraphEntry(spec=spec, precisions=("fp32",), cases={"fp32": tuple(kept)}, exempt=exempt_inputs(spec))


def _inputs(graph: Graph, spec: GraphSpec, arrays: Arrays, job: _Job, *, images: int) -> Arrays:
    stand_ins = graph.stand_ins(job.recipe)
    chosen = {tensor.name: arrays[stand_ins.get(tensor.name, tensor.name)] for tensor in spec.inputs}
    return {t.name: chosen[t.name][:images] if t.dims[:1] == ("B",) else chosen[t.name] for t in spec.inputs}


def _golden(case: str, name: str, graph: Graph, inputs: Arrays, job: _Job) -> Case:
    with torch.no_grad():
        reference = graph.reference(job.recipe, {key: torch.from_numpy(array) for key, array in inputs.items()})
    estimates = job.oracles[name](job.recipe, inputs)
    return Case(
        name=case,
        input=inputs,
        reference={output: value.numpy() for output, value in reference.items()},
        oracle={output: estimate.value for output, estimate in estimates.items()},
        scale={output: estimate.scale for output, estimate in estimates.items()},
        terms={output: np.array(estimate.terms, dtype=np.int64) for output, estimate in estimates.items()},
    )
