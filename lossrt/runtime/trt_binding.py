"""Arrays bound to an engine: those of the GPU are read and written where they lie, those of the host are copied."""

__all__ = ["TensorRTBinding", "narrow"]

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import BackendError, InputError
from lossrt.runtime.device_array import DeviceArray, Value, wait_for
from lossrt.runtime.session import Port


class Memory(Protocol):
    """What a binding asks of the GPU's memory (`lossrt.runtime.trt.DeviceMemory`)."""

    def allocate(self, size: int) -> int: ...

    def upload(self, address: int, array: NDArray[Any]) -> None: ...

    def download(self, array: NDArray[Any], address: int) -> None: ...

    def synchronize(self) -> None: ...


class TensorRTBinding:
    """Arrays bound to an execution context.

    Args:
        context: The context; one binding at a time may run on it.
        memory: The GPU's memory and the stream that `execute` runs on.
        ports: The engine's inputs.
        execute: Starts the engine on that stream.
        engine: What messages call the engine.
    """

    def __init__(
        self, context: Any, memory: Memory, ports: Sequence[Port], *, execute: Callable[[], None], engine: str
    ) -> None:
        self._context, self._memory, self._execute, self._engine = context, memory, execute, engine
        self._ports = {port.name: port for port in ports}
        self._buffers: dict[str, tuple[int, int]] = {}
        self._addresses: dict[str, int] = {}
        self._held: dict[str, Value] = {}

    def feed(self, values: Sequence[Value]) -> None:
        """Bind the inputs; an array of the host is copied to the GPU, each time.

        Raises:
            InputError: Its shape lies outside the engine's profile, or an array of the GPU has another type.
            BackendError: The GPU fails.
        """
        for name, value in zip(self._ports, values, strict=True):
            self._feed(name, value)

    def _feed(self, name: str, value: Value) -> None:
        port = self._ports[name]
        if isinstance(value, DeviceArray):
            if value.dtype != port.dtype:
                raise InputError(
                    f"{self._engine}: tensor '{name}': expected {port.dtype.name}, got {value.dtype.name} on the GPU; "
                    "convert it there"
                )
            wait_for(value)
            self._addresses[name] = value.address
        else:
            value = narrow(port, value)
            self._addresses[name] = self._buffer(name, value.nbytes)
            self._memory.upload(self._addresses[name], value)
        self._held[name] = value
        if not self._context.set_input_shape(name, value.shape):
            raise InputError(
                f"{self._engine}: tensor '{name}': shape {list(value.shape)} is outside the engine's profile; build it "
                "with a wider profile"
            )

    def result(self, name: str, target: Value) -> None:
        """Bind an output; an array of the host is filled by a copy.

        Raises:
            BackendError: The GPU fails.
        """
        if isinstance(target, DeviceArray):
            wait_for(target)
        self._held[name] = target
        self._addresses[name] = target.address if isinstance(target, DeviceArray) else self._buffer(name, target.nbytes)

    def run(self) -> None:
        """Run, and wait for the end.

        Raises:
            BackendError: The GPU fails.
        """
        for name, address in self._addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise BackendError(f"{self._engine}: tensor '{name}': its address was refused; align it to 256 bytes")
        self._execute()
        for name, target in self._held.items():
            if name not in self._ports and not isinstance(target, DeviceArray):
                self._memory.download(target, self._addresses[name])
        self._memory.synchronize()

    def _buffer(self, name: str, size: int) -> int:
        address, room = self._buffers.get(name, (0, -1))
        if room < size:
            address = self._memory.allocate(size)
            self._buffers[name] = (address, size)
        return address


def narrow(port: Port, array: NDArray[Any]) -> NDArray[Any]:
    """Return the array in int32 where it is int64 and the engine has int32 (TensorRT 8.x turns one into the other).

    Raises:
        InputError: A value does not fit.
    """
    if port.dtype != np.int32 or array.dtype != np.int64:
        return array
    narrowed = array.astype(np.int32)
    if not np.array_equal(narrowed, array):
        raise InputError(f"tensor '{port.name}': the engine takes int32, and a value of it does not fit; correct it")
    return narrowed
