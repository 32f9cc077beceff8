"""What `lossrt validate` makes of mutants, in this process for speed and through the command line to be sure."""

__all__ = ["HeldBundle", "Outcome", "exit_code", "judged", "outcome_of", "same_bits"]

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from lossrt.bundle import Bundle, Case, GraphEntry, Manifest
from lossrt.errors import BackendError, InputError
from lossrt.runtime.ort import OrtSession
from lossrt.validators.parity import validate
from lossrt.validators.report import Result
from tests.prove.mutants import Mutant

Outcome = Literal["caught", "survived", "refused"]


class HeldBundle:
    """A bundle whose golden cases are read once and then held: thousands of runs need not read them again."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._cases: dict[tuple[str, str], list[Case]] = {}
        self.root: Path = bundle.root
        self.manifest: Manifest = bundle.manifest

    def entry(self, graph: str) -> GraphEntry:
        """As `Bundle.entry`."""
        return self._bundle.entry(graph)

    def graph_path(self, graph: str, precision: str) -> Path:
        """As `Bundle.graph_path`."""
        return self._bundle.graph_path(graph, precision)

    def cases(self, graph: str, precision: str) -> Iterator[Case]:
        """As `Bundle.cases`."""
        if (graph, precision) not in self._cases:
            self._cases[graph, precision] = list(self._bundle.cases(graph, precision))
        return iter(self._cases[graph, precision])


def judged(bundle: HeldBundle, graph: str, model: onnx.ModelProto) -> list[Result]:
    """Judge a model in the place of a graph, as `lossrt validate --model` does."""
    content = model.SerializeToString()

    def open_session(_: Path) -> OrtSession:
        return OrtSession(content, threads=1)

    return validate(bundle, open_session=open_session, graphs=[graph], model=Path("mutant.onnx"))


def outcome_of(bundle: HeldBundle, mutant: Mutant) -> Outcome:
    """Say whether validate fails a mutant (exit 1), lets it pass (0), or cannot even load it (2)."""
    try:
        results = judged(bundle, mutant.graph, mutant.model)
    except InputError:
        return "refused"
    return "caught" if any(result.verdict == "fail" for result in results) else "survived"


def same_bits(bundle: HeldBundle, mutant: Mutant) -> bool:
    """Say whether a mutant gives the original's results, bit by bit, on every case."""
    original = OrtSession(bundle.graph_path(mutant.graph, "fp32"), threads=1)
    other = OrtSession(mutant.model.SerializeToString(), threads=1)
    for case in bundle.cases(mutant.graph, "fp32"):
        wanted = original.run(case.input)
        try:
            given = other.run(case.input)
        except BackendError:
            return False
        if any(not np.array_equal(given[name], wanted[name], equal_nan=True) for name in wanted):
            return False
    return True


def exit_code(bundle: Path, graph: str, model: onnx.ModelProto, place: Path) -> int:
    """Return the exit code of the real command on a model."""
    path = place / "mutant.onnx"
    path.write_bytes(model.SerializeToString())
    program = "import sys; from lossrt.cli.main import main; sys.argv[0] = 'lossrt'; main()"
    command = [sys.executable, "-c", program, "validate", str(bundle), "--graph", graph, "--model", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode
