"""`lossrt doctor`: what this machine can do, and which nodes of a network it cannot run."""

__all__ = ["doctor"]

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossrt.cli import console
from lossrt.cli.options import JsonOption, OrtOpsOption, TrustOption

if TYPE_CHECKING:
    from lossrt.device.doctor import Check, Machine
    from lossrt.runtime.ort_nodes import NodeProblem

NOWHERE = 3


def doctor(
    network: Annotated[
        Path | None, typer.Argument(help="An ONNX file: which of its nodes cannot run here?", metavar="[NETWORK.onnx]")
    ] = None,
    ort_ops: OrtOpsOption = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is installed, what it is good for, and the next command. Exit code 3 when no backend here takes NETWORK."""
    from lossrt.device.doctor import examine, look_around

    with console.progress_bar("doctor") as progress:
        progress("looking around", 0, 1)
        machine = look_around()
        checks = examine(machine)
        problems = None if network is None else _problems(network, machine, ort_ops, tuple(trust or ()))
    if as_json:
        console.show_json(_data(checks, problems))
    else:
        _show(checks)
        if problems is not None:
            _show_problems(network, problems)
    if problems is not None and all(problems.values()):
        raise typer.Exit(NOWHERE)


def _problems(
    network: Path, machine: "Machine", ort_ops: Path | None, trust: tuple[str, ...]
) -> "dict[str, tuple[NodeProblem, ...]]":
    """Return what keeps each backend that is installed from running the network, by backend."""
    from lossrt.device.doctor import compiler_target
    from lossrt.runtime.libraries import trusted_library
    from lossrt.runtime.ort_nodes import NodeProblem, ort_problems
    from lossrt.validators.lint.report import run_lint

    operators = None if ort_ops is None else trusted_library(ort_ops, trust=trust, option="--ort-ops")
    found: dict[str, tuple[NodeProblem, ...]] = {}
    if machine.environment.providers:
        found["ort"] = ort_problems(network, operators=operators)
    for backend, version in machine.compilers.items():
        report = run_lint(network, targets=(compiler_target(backend, version),))
        found[backend] = tuple(
            NodeProblem(finding.node, finding.op, f"{finding.message}; {finding.fix}")
            for finding in report.findings
            if finding.consequence == "refused"
        )
    return found


def _data(checks: "tuple[Check, ...]", problems: "dict[str, tuple[NodeProblem, ...]] | None") -> dict[str, Any]:
    data: dict[str, Any] = {"checks": [dataclasses.asdict(check) for check in checks]}
    if problems is not None:
        data["network"] = {
            backend: {"runs": not found, "nodes": [dataclasses.asdict(problem) for problem in found]}
            for backend, found in problems.items()
        }
    return data


def _show(checks: "tuple[Check, ...]") -> None:
    for check in checks:
        console.say(f"{check.status:<9} {check.name}: {check.found} ({check.gives})")
        if check.next:
            console.say(f"          next: {check.next}")


def _show_problems(network: Path | None, problems: "dict[str, tuple[NodeProblem, ...]]") -> None:
    console.say("")
    if not problems:
        console.say(f"{network}: no backend is installed here; install one as said above")
    for backend, found in problems.items():
        console.say(f"{network} on {backend}: {'cannot run' if found else 'every node is taken'}")
        for problem in found:
            where = f"node '{problem.node}' ({problem.op})" if problem.op else problem.node or "the model"
            console.say(f"  {where}: {problem.reason}")
