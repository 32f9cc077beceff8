"""Correct graphs on many inputs: how far they are from the oracle, and whether any would be failed falsely."""

__all__ = ["Candidate", "Measurement", "graphs_of", "measured"]

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import onnx

from lossrt.export.case_source import Arrays
from lossrt.export.cases import CASES, case_arrays, scene_source
from lossrt.export.golden import MAP_TYPES, Judges, golden_case
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS
from lossrt.passes.precision import cast_maps, map_names
from lossrt.recipe import Recipe
from lossrt.runtime.ort import OrtSession
from lossrt.spec import Estimate, GraphSpec
from lossrt.validators.oracle.table import ORACLES
from lossrt.validators.tolerances import Verdict, judge
from tests.export.graphs import NAMES


@dataclass(frozen=True, slots=True)
class Measurement:
    """One output of one graph on the inputs of one seed.

    Attributes:
        graph: Graph name.
        precision: Type of its maps.
        case: Kind of the inputs, a name from `CASES`.
        seed: Their seed.
        terms: Number of terms of the output.
        verdict: What the validator says of it.
    """

    graph: str
    precision: str
    case: str
    seed: int
    terms: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Candidate:
    """One exported graph in one precision, loaded."""

    name: str
    precision: str
    spec: GraphSpec
    model: onnx.ModelProto
    session: OrtSession
    judges: Judges


def graphs_of(recipe: Recipe, *, precisions: Iterable[str] = MAP_TYPES) -> list[Candidate]:
    """Export the loss graphs of a recipe in every precision; gradients have a proof of their own."""
    found = []
    for name in NAMES:
        graph = GRAPHS[name]
        spec = graph.spec(recipe)
        model = onnx_from_graph(graph, recipe, options=ExportOptions())
        judges = Judges(partial(graph.reference, recipe), partial(ORACLES[name], recipe))
        for precision in precisions:
            variant = model if precision == "fp32" else cast_maps(model, map_names(spec), to=precision)
            session = OrtSession(variant.SerializeToString(), threads=1)
            found.append(Candidate(name, precision, spec, variant, session, judges))
    return found


def measured(recipe: Recipe, candidates: list[Candidate], *, seed: int, batch: int) -> Iterator[Measurement]:
    """Run every graph on the inputs of one seed and yield every output's verdict; the kinds of cases take turns."""
    kinds = [name for name, case in CASES.items() if any(case.concerns(g, recipe) for g in NAMES)]
    case = kinds[seed % len(kinds)]
    arrays = case_arrays(case, recipe, batch=batch, source=scene_source(recipe, seed=seed))
    for candidate in candidates:
        golden = golden_case(
            case,
            _inputs(recipe, candidate, arrays),
            spec=candidate.spec,
            judges=candidate.judges,
            precision=candidate.precision,
            model=candidate.model,
        )
        given = candidate.session.run(golden.input)
        for output in candidate.spec.outputs:
            name = output.name
            expected = Estimate(golden.oracle[name], golden.scale[name], int(golden.terms[name]))
            verdict = judge(name, given[name], expected, reference=golden.reference[name])
            yield Measurement(candidate.name, candidate.precision, case, seed, expected.terms, verdict)


def _inputs(recipe: Recipe, candidate: Candidate, arrays: Arrays) -> Arrays:
    stand_ins = GRAPHS[candidate.name].stand_ins(recipe)
    return {tensor.name: arrays[stand_ins.get(tensor.name, tensor.name)] for tensor in candidate.spec.inputs}
