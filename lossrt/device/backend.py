"""What the user chose to run on: opens graphs of a bundle, parts of a network, or any other model there."""

__all__ = ["BACKENDS", "Backend"]

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from lossrt.bundle import Bundle
from lossrt.device.build import open_graph
from lossrt.errors import BackendError, InputError, nearest
from lossrt.runtime.compiler import backend_version
from lossrt.runtime.job import BackendName
from lossrt.runtime.libraries import trusted_library
from lossrt.runtime.ort import OrtSession, ort_version
from lossrt.runtime.ort_binding import first_line
from lossrt.runtime.session import Session

UNKNOWN_OPERATOR = ("is not a registered function/op", "No Op registered for", "Could not find an implementation")
"""Parts of what ONNX Runtime says of an operator that it does not have."""
BACKENDS = ("ort", "ort-cuda", "ort-tensorrt", "tensorrt", "rtx")
_DEVICES: dict[str, Literal["cpu", "cuda", "tensorrt"]] = {"ort": "cpu", "ort-cuda": "cuda", "ort-tensorrt": "tensorrt"}


@dataclass(frozen=True, slots=True)
class Backend:
    """Where graphs run.

    Attributes:
        name: `ort`, `ort-cuda`, `ort-tensorrt` (providers of ONNX Runtime), `tensorrt` or `rtx`.
        threads: Threads inside an operator, in ONNX Runtime; None leaves it to ONNX Runtime.
        plugins: The user's TensorRT plugin libraries, trusted already; `tensorrt` only.
        operators: A library of the user's own ONNX Runtime operators, trusted already; ONNX Runtime only.
        trust: SHA-256 digests of engines from other machines that may be reused.

    Raises:
        InputError: The name is unknown, or a library is not for this backend.
    """

    name: str = "ort"
    threads: int | None = None
    plugins: tuple[Path, ...] = ()
    operators: Path | None = None
    trust: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in BACKENDS:
            raise InputError(f"backend '{self.name}': unknown; {nearest(self.name, BACKENDS)}")
        if self.plugins and self.name != "tensorrt":
            raise InputError(f"--plugin: for --backend tensorrt only, got {self.name}; ONNX Runtime takes --ort-ops")
        if self.operators and not self.name.startswith("ort"):
            raise InputError(f"--ort-ops: for ONNX Runtime only, got --backend {self.name}; TensorRT takes --plugin")

    @classmethod
    def trusted(
        cls,
        name: str,
        *,
        threads: int | None = None,
        plugins: Sequence[Path] | None,
        operators: Path | None,
        trust: Sequence[str] | None,
    ) -> "Backend":
        """Return the backend with the user's libraries, each of which needs its digest among the trusted ones.

        Raises:
            InputError: A library is missing or not trusted, or as for the class.
        """
        vouched = tuple(trust or ())
        return cls(
            name,
            threads,
            tuple(trusted_library(path, trust=vouched, option="--plugin") for path in plugins or ()),
            None if operators is None else trusted_library(operators, trust=vouched, option="--ort-ops"),
            vouched,
        )

    @property
    def libraries(self) -> tuple[Path, ...]:
        """The user's own code, whose digests are not a bundle's id."""
        return self.plugins if self.operators is None else (*self.plugins, self.operators)

    @property
    def runtime(self) -> str:
        """What computes, with its version: another one may round otherwise.

        Raises:
            BackendError: It is not installed.
        """
        if self.name in ("tensorrt", "rtx"):
            return f"{self.name} {backend_version(cast('BackendName', self.name))}"
        return f"{self.name} {ort_version()}"

    def open(self, path: Path, bundle: Bundle, *, network: Path | None = None) -> Session:
        """Load an ONNX file.

        Args:
            path: The file; its open dimensions are called as the bundle's.
            bundle: Where engines lie, and which sizes its dimensions have.
            network: The user's network that the file is, or is a part of; None for a graph of the bundle.

        Raises:
            InputError: The file cannot be loaded.
            BackendError: The backend or a GPU is missing, it lacks an operator of the network, or a build fails.
        """
        if self.name in ("tensorrt", "rtx"):
            return open_graph(bundle, path, backend=self.name, plugins=self.plugins, trust=self.trust)
        try:
            return OrtSession(path, device=_DEVICES[self.name], threads=self.threads, operators=self.operators)
        except InputError as error:
            if network is None or not any(words in str(error) for words in UNKNOWN_OPERATOR):
                raise
            reason = first_line(error.__cause__ or error).rpartition("Fatal error: ")[2]
            raise BackendError(
                f"network '{network}': has an operator that ONNX Runtime lacks: {reason}; give a library of it with "
                "--ort-ops, run on TensorRT with --plugin, or compute elsewhere what comes of it (--heads, --features); "
                f"`lossrt doctor {network}` lists every such node"
            ) from error
