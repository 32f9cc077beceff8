"""Parity: every golden case of a bundle through a runtime, every output against the float64 oracle."""

__all__ = ["OpenSession", "Step", "validate"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lossrt.bundle import Bundle, Case
from lossrt.errors import InputError, StorageError, nearest
from lossrt.runtime.session import Session
from lossrt.spec import Estimate, GraphSpec
from lossrt.validators.gradient_verdict import judge_gradient
from lossrt.validators.oracle.table import LARGE_OUTPUTS
from lossrt.validators.report import Result
from lossrt.validators.step_verdict import judge_change, old_name
from lossrt.validators.tolerances import DEFAULT_POLICY, Policy, Verdict, judge

OpenSession = Callable[[Path], Session]
"""Opens the graph at a path; the caller chooses backend and device."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a caller is told after each case.

    Attributes:
        graph: Graph name.
        precision: Type of its maps.
        case: Golden case.
        done: Cases judged so far, this one included.
        total: Cases to judge.
        problem: Why the runtime gave no result; None where it gave one.
    """

    graph: str
    precision: str
    case: str
    done: int
    total: int
    problem: str | None = None


def validate(
    bundle: Bundle,
    *,
    open_session: OpenSession,
    graphs: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    model: Path | None = None,
    policy: Policy = DEFAULT_POLICY,
    progress: Callable[[Step], None] | None = None,
) -> list[Result]:
    """Judge every output of every golden case; one case is in memory at a time.

    Args:
        bundle: The bundle, its digests checked.
        open_session: Opens a graph; the session is closed after the graph's last case.
        graphs: Graphs to judge; None: all.
        precisions: Types of the maps to judge; None: all that each graph has.
        model: A file that takes the place of the one graph named; it needs no digest, and may lack inputs.
        policy: The constants of the tolerance.
        progress: Called after each case.

    Returns:
        One row for each output of each case, failures included. A runtime that breaks on a case fails all its outputs;
        an output of another shape fails.

    Raises:
        InputError: Unknown graph or precision, nothing to judge, an output that is missing, or a file that does not fit
            the bundle.
        BackendError: The runtime cannot start.
    """
    plan = _plan(bundle, graphs, precisions, model)
    total = sum(len(bundle.entry(graph).cases[precision]) for graph, precision in plan)
    results: list[Result] = []
    done = 0
    for graph, precision in plan:
        spec = bundle.entry(graph).spec
        about = {"recipe": bundle.manifest.name, "graph": graph, "precision": precision}
        with open_session(model or bundle.graph_path(graph, precision)) as session:
            _check_outputs(spec, session, model)
            about |= {"backend": session.backend, "arch": session.device}
            for case in bundle.cases(graph, precision):
                expected = _expected(bundle, graph, case)
                outputs, problem = _run(session, case, expected)
                verdicts = _judge_case(spec, case, expected, outputs, policy)
                results.extend(_row({**about, "case": case.name}, verdict) for verdict in verdicts)
                done += 1
                if progress:
                    progress(Step(graph, precision, case.name, done, total, problem))
    return results


def _plan(
    bundle: Bundle, graphs: Sequence[str] | None, precisions: Sequence[str] | None, model: Path | None
) -> list[tuple[str, str]]:
    """List what is to be judged, in the manifest's order; InputError for an unknown name or an empty list."""
    chosen = [graph for graph in bundle.manifest.graphs if graphs is None or graph in graphs]
    if unknown := [graph for graph in graphs or () if graph not in chosen]:
        raise InputError(
            f"graph '{unknown[0]}': not in bundle {bundle.source}; {nearest(unknown[0], bundle.manifest.graphs)}"
        )
    plan = [(graph, precision) for graph in chosen for precision in _precisions(bundle, graph, precisions, model)]
    if model and len(plan) != 1:
        names = ", ".join(f"{graph}.{precision}" for graph, precision in plan)
        raise InputError(
            f"model '{model}': expected one graph whose place it takes, got {names or 'none'}; name it with --graph"
        )
    if empty := [graph for graph, precision in plan if not bundle.entry(graph).cases.get(precision)]:
        raise InputError(f"graph '{empty[0]}': no golden case to judge it by; export again")
    if not plan:
        raise InputError(f"bundle '{bundle.source}': no graph to judge; export again")
    return plan


def _precisions(bundle: Bundle, graph: str, precisions: Sequence[str] | None, model: Path | None) -> tuple[str, ...]:
    known = bundle.entry(graph).precisions
    if precisions is None:
        # A file that takes a graph's place has one precision, fp32 unless the user says otherwise.
        return known[:1] if model else known
    for precision in precisions:
        if precision not in known:
            raise InputError(f"precision '{precision}': graph '{graph}' lacks it; {nearest(precision, known)}")
    return tuple(precisions)


def _check_outputs(spec: GraphSpec, session: Session, model: Path | None) -> None:
    for output in spec.outputs:
        if output.name not in session.output_names:
            raise InputError(
                f"output '{output.name}': expected from {model or 'graph ' + repr(spec.name)}, which has "
                f"{', '.join(session.output_names) or 'none'}; give a model of graph '{spec.name}'"
            )


def _expected(bundle: Bundle, graph: str, case: Case) -> dict[str, Estimate]:
    """Return the oracle's results: those of the case, and computed ones of outputs that were too large to keep."""
    spec = bundle.entry(graph).spec
    kept = [output.name for output in spec.outputs if output.name in case.oracle]
    if missing := [(part, name) for name in kept for part in ("scale", "terms") if name not in getattr(case, part)]:
        raise InputError(f"case '{case.name}': expected '{missing[0][0]}/{missing[0][1]}' in it; export again")
    expected = {name: Estimate(case.oracle[name], case.scale[name], int(case.terms[name])) for name in kept}
    if lacking := [output.name for output in spec.outputs if output.name not in expected]:
        recipe, oracle = bundle.manifest.recipe, LARGE_OUTPUTS.get(graph)
        if lacking[0] not in case.own_error or recipe is None or oracle is None:
            raise InputError(f"case '{case.name}': expected 'oracle/{lacking[0]}' in it; export again")
        computed = oracle(recipe, case.input)
        expected |= {name: computed[name] for name in lacking}
    return expected


def _run(session: Session, case: Case, expected: Mapping[str, Estimate]) -> tuple[dict[str, NDArray[Any]], str | None]:
    """Run one case; a runtime that breaks on inputs that were legal at export has no outputs, and says why.

    An output of another shape is left out as well: there is no element to compare.
    """
    try:
        outputs = session.run(case.input)
    except (InputError, StorageError):
        raise
    except Exception as error:
        return {}, f"{type(error).__name__}: {error}"
    wanted = {name: estimate.value.shape for name, estimate in expected.items()}
    wrong = {name: array.shape for name, array in outputs.items() if array.shape != wanted.get(name, array.shape)}
    problems = [f"output '{name}': expected shape {list(wanted[name])}, got {list(wrong[name])}" for name in wrong]
    return {name: outputs[name] for name in outputs if name not in wrong}, "; ".join(problems) or None


def _judge_case(
    spec: GraphSpec,
    case: Case,
    expected: Mapping[str, Estimate],
    outputs: Mapping[str, NDArray[Any]],
    policy: Policy,
) -> list[Verdict]:
    verdicts = []
    for output in spec.outputs:
        name = output.name
        actual, exact = outputs.get(name), expected[name]
        if name in case.own_error:
            own_error = float(case.own_error[name])
            verdicts.append(judge_gradient(name, actual, exact, own_error=own_error, policy=policy))
        elif name.startswith("new_") and old_name(name) in case.input and exact.value.ndim:
            old = case.input[old_name(name)]
            reference = case.reference.get(name)
            verdicts.append(judge_change(name, actual, exact, old=old, reference=reference, policy=policy))
        else:
            verdicts.append(judge(name, actual, exact, reference=case.reference.get(name), policy=policy))
    return verdicts


def _row(about: dict[str, str], verdict: Verdict) -> Result:
    found = {part.name: getattr(verdict, part.name) for part in fields(verdict)}
    return Result.model_validate({**about, "output": found.pop("name"), **found})
