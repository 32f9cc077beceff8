"""A bundle's graph for a live loop: named arrays in, named losses out, from any number of threads."""

__all__ = ["BACKENDS", "LossSession"]

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Literal

from numpy.typing import NDArray

from lossrt.bundle import Bundle, open_bundle
from lossrt.device.build import open_graph
from lossrt.device.call_plan import Plans
from lossrt.device.lane import Lane
from lossrt.errors import InputError, nearest
from lossrt.runtime.binding import BindableSession
from lossrt.runtime.ort import OrtSession
from lossrt.spec import GraphSpec

DEVICES: dict[str, Literal["cpu", "cuda", "tensorrt"]] = {"ort-cuda": "cuda", "ort-tensorrt": "tensorrt"}
BACKENDS = ("ort", *DEVICES, "tensorrt", "rtx")
CHECKS = ("host", "all", "none")


class LossSession:
    """A graph, ready to be called again and again.

    Calls from several threads are safe. Each takes a set of bound arrays of its own (a lane) from a pool that grows to
    as many as ever run at once, so that ONNX Runtime computes side by side; an engine has one, and calls queue for it.

    Args:
        session: The loaded graph; closed with this one.
        spec: The graph's signature.
        check: Which integer arrays are checked for values outside their range: `host` those in the host's memory, `all`
            those on the GPU as well (each is copied to the host for it), `none` none. An index outside its range reads
            other memory, or zeros, on a device.

    Attributes:
        input_names: Inputs that the loaded graph takes.
        output_names: Its outputs.
        input_types: Type of each input.
    """

    def __init__(
        self, session: BindableSession, spec: GraphSpec, *, check: Literal["host", "all", "none"] = "host"
    ) -> None:
        self._session = session
        self._plans = Plans(spec, session.ports, session.output_types, check=check)
        self._lanes: deque[Lane] = deque()
        self._graph, self._closed = spec.name, False
        self._turn: AbstractContextManager[object] = nullcontext() if session.concurrent else Lock()
        self.input_names = session.input_names
        self.output_names = session.output_names
        self.input_types = {port.name: port.dtype for port in session.ports}

    @classmethod
    def from_bundle(
        cls,
        bundle: Bundle | Path | str,
        *,
        graph: str = "generic_loss",
        precision: str = "fp32",
        backend: str = "ort",
        device: Literal["cpu", "cuda"] = "cpu",
        threads: int | None = 1,
        check: Literal["host", "all", "none"] = "host",
        trust: Sequence[str] = (),
        plugins: tuple[Path, ...] = (),
    ) -> "LossSession":
        """Load a graph of a bundle.

        Args:
            bundle: Its path; or one that `lossrt.bundle.open_bundle` opened, for a sender who must be the one expected.
            graph: Name of the graph.
            precision: Which of its precisions.
            backend: `ort`, `ort-cuda` (the same as `ort` with device `cuda`), `ort-tensorrt`, `tensorrt` or `rtx`.
            device: Where ONNX Runtime computes.
            threads: Threads of ONNX Runtime inside an operator; None leaves it to ONNX Runtime.
            check: As for the class.
            trust: SHA-256 digests of engines from other machines that may be loaded.
            plugins: The user's TensorRT plugin libraries, trusted already.

        Raises:
            InputError: There is no such bundle, graph, precision, backend, device or kind of check; or `threads` is not
                positive.
            BackendError: The backend, or a GPU, is missing.
        """
        opened = bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))
        entry = opened.entry(graph)
        if precision not in entry.precisions:
            raise InputError(f"graph '{graph}': precision '{precision}': {nearest(precision, entry.precisions)}")
        for what, value, known in (("backend", backend, BACKENDS), ("check", check, CHECKS)):
            if value not in known:
                raise InputError(f"{what} '{value}': unknown; {nearest(str(value), known)}")
        if device not in ("cpu", "cuda"):
            raise InputError(f"device '{device}': unknown; {nearest(str(device), ('cpu', 'cuda'))}")
        if threads is not None and threads < 1:
            raise InputError(f"threads: expected at least 1, or None to leave it to ONNX Runtime, got {threads}")
        path = opened.graph_path(graph, precision)
        session: BindableSession
        if backend in ("tensorrt", "rtx"):
            session = open_graph(opened, path, backend=backend, plugins=plugins, trust=tuple(trust))
        else:
            session = OrtSession(path, device=DEVICES.get(backend, device), threads=threads)
        return cls(session, entry.spec, check=check)

    def __call__(self, arrays: Mapping[str, Any], *, out: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Compute the graph's outputs.

        Args:
            arrays: Inputs by wire name; names that the graph does not take are ignored. A value is a numpy array, what
                has `__dlpack__` (PyTorch, CuPy, JAX), or what has `__cuda_array_interface__`; none is copied if it is
                contiguous, and those of the GPU do not pass through the host where the backend runs there.
            out: Arrays by output name that results are written to, such as gradients that are to stay on the GPU; same
                kinds, contiguous, of the output's type and shape.

        Returns:
            Every output by name: those in `out` as they were given, the others as numpy arrays of the caller's own.

        Raises:
            InputError: An array is missing, has another shape or type, or an index outside its range; or the session is
                closed.
            BackendError: The graph, or the GPU, fails.
        """
        with self._turn:
            try:
                lane = self._lanes.pop()
            except IndexError:
                if self._closed:
                    raise InputError(
                        f"graph '{self._graph}': its session is closed; call it inside its `with` block"
                    ) from None
                lane = Lane(self._session.binding(), self.output_names)
            # A lane that failed is dropped: what is bound to it is not known any more.
            result = lane.run(self._plans.checked(arrays), out)
            if not self._closed:
                self._lanes.append(lane)
            return result

    def outputs(self, arrays: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return arrays of the right types and shapes for `out`, for inputs of these shapes.

        Raises:
            InputError: As for a call.
        """
        return self._plans.checked(arrays).plan.new_outputs()

    def __enter__(self) -> "LossSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._lanes.clear()
        self._session.__exit__(kind, error, trace)
