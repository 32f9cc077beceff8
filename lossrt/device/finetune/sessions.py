"""Open a graph of a bundle, or a model that goes with it, in the backend that the user chose."""

__all__ = ["open_session"]

from pathlib import Path

from lossrt.bundle import Bundle
from lossrt.device.build import open_graph
from lossrt.device.loss_session import BACKENDS
from lossrt.errors import InputError, nearest
from lossrt.runtime.ort import OrtSession
from lossrt.runtime.session import Session


def open_session(path: Path, *, bundle: Bundle, backend: str = "ort", threads: int | None = None) -> Session:
    """Load an ONNX file.

    Args:
        path: The file; its open dimensions are called as the bundle's.
        bundle: Where engines lie, and which sizes its dimensions have.
        backend: `ort`, `ort-cuda`, `tensorrt` or `rtx`.
        threads: Threads inside an operator, in ONNX Runtime; None leaves it to ONNX Runtime.

    Raises:
        InputError: The backend is unknown, or the file cannot be loaded.
        BackendError: The backend or a GPU is missing, or a build fails.
    """
    if backend not in BACKENDS:
        raise InputError(f"--backend '{backend}': unknown; {nearest(backend, BACKENDS)}")
    if backend in ("tensorrt", "rtx"):
        return open_graph(bundle, path, backend=backend)
    return OrtSession(path, device="cuda" if backend == "ort-cuda" else "cpu", threads=threads)
