"""Arrays bound to a loaded graph's inputs and outputs, so that a run moves nothing that it need not move."""

__all__ = ["BindableSession", "Binding"]

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from lossrt.runtime.device_array import Value
from lossrt.runtime.session import Port


class Binding(Protocol):
    """One set of inputs and outputs. Two threads need one each; it holds what is bound to it."""

    def feed(self, values: Sequence[Value]) -> None:
        """Bind the inputs, in the session's order, to contiguous arrays of the types and shapes that the graph takes.

        Raises:
            InputError: A shape outside the engine's profile, or an array of the GPU where the graph runs on the host.
        """
        ...

    def result(self, name: str, target: Value) -> None:
        """Bind an output to the contiguous array that it is written to."""
        ...

    def run(self) -> None:
        """Run, and wait for the end.

        Raises:
            BackendError: The graph fails on these values.
        """
        ...


class BindableSession(Protocol):
    """A loaded graph that arrays can be bound to.

    Attributes:
        backend: `ort`, `tensorrt` or `rtx`.
        device: `cpu` or `cuda`.
        input_names: Inputs that the loaded graph still has.
        output_names: Outputs, in the order of the graph.
        output_types: Type of each output.
        ports: The inputs, with types and shapes.
        concurrent: True where several bindings may run at the same time.
    """

    backend: str
    device: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    output_types: dict[str, np.dtype[Any]]
    ports: tuple[Port, ...]
    concurrent: bool

    def binding(self) -> Binding:
        """Return a new binding."""
        ...

    def __enter__(self) -> "BindableSession": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
