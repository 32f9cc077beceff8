"""Run an engine on the GPU of this machine, with TensorRT or TensorRT for RTX.

The tensor-name API is the same in both and in every version since 8.5. polygraphy gives device memory and the stream
(`polygraphy.cuda`, which needs no compiler); its TrtRunner is not used, since it fixes the compiler by an environment
variable at import, and copies inputs and outputs at each run, so that nothing could be timed.
"""

__all__ = ["CudaMemory", "DeviceMemory", "TensorRTSession", "open_engine"]

import importlib
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from lossrt.errors import BackendError, InputError
from lossrt.runtime.adapter import collecting_logger, import_module, load_plugins
from lossrt.runtime.compiler import backend_version
from lossrt.runtime.engine_record import check_fits
from lossrt.runtime.engines import load_engine
from lossrt.runtime.gpu import require_gpu
from lossrt.runtime.session import Port, pick_feeds
from lossrt.runtime.trt_binding import TensorRTBinding, narrow

_DTYPES: dict[str, np.dtype[Any]] = {
    "FLOAT": np.dtype(np.float32),
    "HALF": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "INT64": np.dtype(np.int64),
    "INT32": np.dtype(np.int32),
    "INT8": np.dtype(np.int8),
    "UINT8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}


class DeviceMemory(Protocol):
    """Memory of the GPU and one stream."""

    stream: int

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes."""
        ...

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copy a contiguous array to the device, in the order of the stream; it must live until `synchronize`."""
        ...

    def download(self, array: NDArray[Any], address: int) -> None:
        """Copy from the device into a contiguous array, in the order of the stream; filled after `synchronize`."""
        ...

    def synchronize(self) -> None:
        """Wait until the stream is idle."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class CudaMemory:
    """Device memory through polygraphy's binding of the CUDA runtime.

    Raises:
        BackendError: polygraphy or the CUDA runtime is missing.
    """

    def __init__(self) -> None:
        try:
            self._cuda = importlib.import_module("polygraphy.cuda")
        except ImportError as error:
            raise BackendError(
                f"device memory: cannot import polygraphy ({error}); run `pip install polygraphy`"
            ) from error
        self._api = self._checked(self._cuda.wrapper)
        self.stream: int = self._checked(self._api.create_stream)
        self._addresses: list[int] = []

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes."""
        address: int = self._checked(self._api.malloc, max(size, 1))
        self._addresses.append(address)
        return address

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copy a contiguous array to the device, in the order of the stream; it must live until `synchronize`."""
        kind = self._cuda.MemcpyKind.HostToDevice
        self._checked(self._api.memcpy, address, array.ctypes.data, array.nbytes, kind, self.stream)

    def download(self, array: NDArray[Any], address: int) -> None:
        """Copy from the device into a contiguous array, in the order of the stream; filled after `synchronize`."""
        kind = self._cuda.MemcpyKind.DeviceToHost
        self._checked(self._api.memcpy, array.ctypes.data, address, array.nbytes, kind, self.stream)

    def synchronize(self) -> None:
        """Wait until the stream is idle."""
        self._checked(self._api.stream_synchronize, self.stream)

    def close(self) -> None:
        """Give everything back."""
        while self._addresses:
            self._api.free(self._addresses.pop())
        self._api.destroy_stream(self.stream)

    @staticmethod
    def _checked(call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:  # polygraphy's own, or OSError from the loader
            raise BackendError(
                f"device memory: the CUDA runtime failed ({error}); check `nvidia-smi`, free memory on the GPU, and "
                "that libcudart is on LD_LIBRARY_PATH"
            ) from error


class TensorRTSession:
    """An engine loaded onto the GPU.

    Args:
        engine: The serialized engine.
        backend: `tensorrt` or `rtx`.
        module: The imported module of that backend.
        memory: Device memory; closed with the session.
        name: What messages call the engine.
        plugins: Absolute paths of plugin libraries, trusted already.

    Raises:
        BackendError: The engine was built for another GPU or version, or needs a type that numpy lacks; or a plugin
            library does not load.
    """

    device = "cuda"
    concurrent = False

    def __init__(
        self,
        engine: bytes,
        *,
        backend: str,
        module: Any,
        memory: DeviceMemory,
        name: str = "engine",
        plugins: tuple[str, ...] = (),
    ) -> None:
        self.backend = backend
        self._name, self._memory = name, memory
        self._logger = collecting_logger(module, io.StringIO())
        load_plugins(module, self._logger, plugins)
        self._runtime = module.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            reasons = "; ".join(self._logger.errors) or "no reason given"
            raise BackendError(
                f"{name}: cannot be loaded here: {reasons}; build it on this machine with `lossrt build`"
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise BackendError(f"{name}: no room for its context on the GPU; close other programs that use it")
        names = [self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)]
        mode = module.TensorIOMode.INPUT
        self.input_names = tuple(tensor for tensor in names if self._engine.get_tensor_mode(tensor) == mode)
        self.output_names = tuple(tensor for tensor in names if tensor not in self.input_names)
        self.ports = tuple(self._port(tensor) for tensor in self.input_names)
        self.output_types = {tensor: self._dtype(tensor) for tensor in self.output_names}
        self._buffers: dict[str, tuple[int, int]] = {}
        self._held: dict[str, NDArray[Any]] = {}

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once, copies to and from the device included.

        Args:
            feeds: Arrays by wire name; names that the engine does not take are ignored. int64 is narrowed where the
                engine has int32 (TensorRT 8.x turns one into the other).

        Raises:
            InputError: An array is missing, has another type, or a shape outside the engine's profile.
            BackendError: The GPU failed.
        """
        results = self._place(feeds)
        self._execute()
        for name, array in results.items():
            self._memory.download(array, self._buffers[name][0])
        self._memory.synchronize()
        return results

    def bound(self, feeds: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """Copy the arrays to the device once, and return a call that runs the engine on them and waits for its end.

        Raises:
            InputError: As for `run`.
        """
        self._place(feeds)
        self._memory.synchronize()

        def call() -> None:
            self._execute()
            self._memory.synchronize()

        return call

    def binding(self) -> TensorRTBinding:
        """Return a new set of inputs and outputs for arrays to be bound to; one at a time may run."""
        return TensorRTBinding(self._context, self._memory, self.ports, execute=self._execute, engine=self._name)

    def _port(self, name: str) -> Port:
        shape = tuple(None if size < 0 else int(size) for size in self._engine.get_tensor_shape(name))
        return Port(name, self._dtype(name), shape)

    def _dtype(self, name: str) -> np.dtype[Any]:
        kind = self._engine.get_tensor_dtype(name).name
        if kind not in _DTYPES:
            raise BackendError(f"{self._name}: tensor '{name}': expected one of {', '.join(_DTYPES)}, got {kind}")
        return _DTYPES[kind]

    def _place(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Put the inputs on the device; return host arrays of the outputs' shapes."""
        narrowed = dict(feeds) | {p.name: narrow(p, feeds[p.name]) for p in self.ports if p.name in feeds}
        self._held = pick_feeds(self.ports, narrowed, graph=self._name)
        for name, array in self._held.items():
            if not self._context.set_input_shape(name, array.shape):
                raise InputError(
                    f"{self._name}: tensor '{name}': shape {list(array.shape)} is outside the engine's profile; "
                    "build it with a wider profile"
                )
            self._memory.upload(self._buffer(name, array.nbytes), array)
        results = {}
        for name in self.output_names:
            shape = tuple(int(size) for size in self._context.get_tensor_shape(name))
            if any(size < 0 for size in shape):
                raise BackendError(f"{self._name}: output '{name}': its shape {list(shape)} depends on the data")
            results[name] = np.empty(shape, self._dtype(name))
            self._buffer(name, results[name].nbytes)
        return results

    def _buffer(self, name: str, size: int) -> int:
        address, room = self._buffers.get(name, (0, -1))
        if room < size:
            address = self._memory.allocate(size)
            self._buffers[name] = (address, size)
        # Every time: a binding may have aimed it elsewhere since.
        self._context.set_tensor_address(name, address)
        return address

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._memory.stream):
            reasons = "; ".join(self._logger.errors) or "no reason given"
            raise BackendError(f"{self._name}: the GPU failed: {reasons}; check `nvidia-smi` and its kernel log")

    def __enter__(self) -> "TensorRTSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The context uses the memory, and the engine the runtime: give back in that order.
        self._context = self._engine = self._runtime = None
        self._memory.close()


def open_engine(path: Path, *, trust: Collection[str] = (), plugins: Sequence[Path] = ()) -> TensorRTSession:
    """Load an engine that `lossrt build` made onto the GPU of this machine.

    Args:
        path: The engine; its JSON lies beside it.
        trust: SHA-256 digests of engines from other machines (see `lossrt.runtime.engines.load_engine`).
        plugins: The user's plugin libraries that it was built with, trusted already.

    Raises:
        BackendError: There is no GPU or no backend here, or the engine was built for another GPU or version.
        InputError: The engine is not the one that its JSON records, or is neither from here nor trusted.
    """
    name = f"engine '{path}'"
    gpu = require_gpu(what=name)
    content, record = load_engine(path, trust=trust)
    backend = record.identity.backend
    check_fits(record, compute_capability=gpu.compute_capability, version=backend_version(backend), name=name)
    module = import_module(backend)
    libraries = tuple(str(library) for library in plugins)
    return TensorRTSession(content, backend=backend, module=module, memory=CudaMemory(), name=name, plugins=libraries)
