"""Open a graph of a bundle, or a part of a network, in the backend that the user chose."""

__all__ = ["Backend"]

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lossrt.bundle import Bundle
from lossrt.device.build import open_graph
from lossrt.device.loss_session import BACKENDS
from lossrt.errors import InputError, nearest
from lossrt.runtime.ort import OrtSession
from lossrt.runtime.session import Session


@dataclass(frozen=True, slots=True)
class Backend:
    """Where graphs run.

    Attributes:
        name: `ort`, `ort-cuda`, `tensorrt` or `rtx`.
        threads: Threads inside an operator, in ONNX Runtime; None leaves it to ONNX Runtime.
        plugins: The user's TensorRT plugin libraries, trusted already; `tensorrt` only.
        operators: A library of the user's own ONNX Runtime operators, trusted already; `ort` and `ort-cuda` only.
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
            raise InputError(f"--backend '{self.name}': unknown; {nearest(self.name, BACKENDS)}")
        if self.plugins and self.name != "tensorrt":
            raise InputError(f"--plugin: for --backend tensorrt only, got {self.name}; ONNX Runtime takes --ort-ops")
        if self.operators and not self.name.startswith("ort"):
            raise InputError(f"--ort-ops: for ONNX Runtime only, got --backend {self.name}; TensorRT takes --plugin")

    def open(self, path: Path, bundle: Bundle) -> Session:
        """Load an ONNX file.

        Args:
            path: The file; its open dimensions are called as the bundle's.
            bundle: Where engines lie, and which sizes its dimensions have.

        Raises:
            InputError: The file cannot be loaded.
            BackendError: The backend or a GPU is missing, or a build fails.
        """
        if self.name in ("tensorrt", "rtx"):
            return open_graph(bundle, path, backend=self.name, plugins=self.plugins, trust=self.trust)
        device: Literal["cpu", "cuda"] = "cuda" if self.name == "ort-cuda" else "cpu"
        return OrtSession(path, device=device, threads=self.threads, operators=self.operators)
