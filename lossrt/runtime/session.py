"""What every runtime offers: named arrays in, named arrays out."""

__all__ = ["Port", "Session", "pick_feeds"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError


class Session(Protocol):
    """A loaded graph or engine, ready to run.

    Attributes:
        backend: `ort`, `tensorrt` or `rtx`.
        device: `cpu` or `cuda`.
        input_names: Inputs that the loaded graph still has; a compiler may have dropped unused ones.
        output_names: Outputs, in the order of the graph.
    """

    backend: str
    device: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once.

        Args:
            feeds: Arrays by wire name; names that the graph does not take are ignored. bfloat16 is `ml_dtypes.bfloat16`.

        Raises:
            InputError: An array is missing, or has another type or shape than the graph takes.
        """
        ...

    def bound(self, feeds: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """Place the arrays where the graph reads them, once, and return a call that runs it on them (for timing)."""
        ...

    def __enter__(self) -> "Session": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Port:
    """One input of a loaded graph.

    Attributes:
        name: Name on the wire.
        dtype: Element type that it takes.
        shape: Size of each dimension; None where it is open.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.dtype.name}[{sizes}]"

    def fits(self, array: NDArray[Any]) -> bool:
        """Say whether the array has the type and the shape that the port takes."""
        return (
            array.dtype == self.dtype
            and array.ndim == len(self.shape)
            and all(want is None or want == got for want, got in zip(self.shape, array.shape, strict=True))
        )


def pick_feeds(ports: Sequence[Port], feeds: Mapping[str, NDArray[Any]], *, graph: str) -> dict[str, NDArray[Any]]:
    """Choose the arrays that a graph takes, contiguous, in the order of its inputs.

    Args:
        ports: The graph's inputs.
        feeds: Arrays by wire name; more than the graph takes is fine.
        graph: What messages call the graph.

    Raises:
        InputError: Arrays are missing (all are named), or one has another type or shape.
    """
    if missing := [port for port in ports if port.name not in feeds]:
        wanted = "; ".join(f"tensor '{port.name}': expected {port}" for port in missing)
        raise InputError(
            f"{graph}: {wanted}; missing among the arrays given: {', '.join(sorted(feeds)) or 'none'}; add them"
        )
    chosen = {}
    for port in ports:
        # Not ascontiguousarray: it turns a scalar into a vector.
        array = np.asarray(feeds[port.name], order="C")
        if not port.fits(array):
            sizes = ", ".join(str(size) for size in array.shape)
            raise InputError(
                f"{graph}: tensor '{port.name}': expected {port}, got {array.dtype.name}[{sizes}]; "
                "fix the caller, or export the graph for these sizes"
            )
        chosen[port.name] = array
    return chosen
