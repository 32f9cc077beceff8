"""ONNX Runtime's IO binding: arrays of the host and of the GPU, read and written where they lie."""

__all__ = ["OrtBinding", "first_line"]

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx

from lossrt.errors import BackendError, InputError
from lossrt.runtime.device_array import DeviceArray, Value, wait_for
from lossrt.runtime.session import Port

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


class OrtBinding:
    """Arrays bound to a session of ONNX Runtime.

    Args:
        ort: The module.
        session: The `InferenceSession`.
        ports: The graph's inputs.
        device: `cpu` or `cuda`, where the session runs.
        graph: What messages call the graph.
    """

    def __init__(self, ort: Any, session: Any, ports: Sequence[Port], *, device: str, graph: str) -> None:
        self._ort, self._session, self._device, self._graph = ort, session, device, graph
        self._binding = session.io_binding()
        self._names = [port.name for port in ports]
        # What bind_cpu_input takes, and a run reads where it lies.
        self._plain = device == "cpu" and all(port.dtype != BFLOAT16 for port in ports)
        self._fed: list[Value | None] = [None] * len(ports)
        self._targets: dict[str, Value] = {}

    def feed(self, values: Sequence[Value]) -> None:
        """Bind the inputs; an array that is bound already is read where it lies, with what it holds then.

        Raises:
            InputError: An array lies on the GPU, and the session runs on the host.
        """
        fed, bind, plain = self._fed, self._binding.bind_cpu_input, self._plain
        for position, value in enumerate(values):
            if value is fed[position] and plain:
                continue
            fed[position] = value
            if plain and not isinstance(value, DeviceArray):
                bind(self._names[position], value)
            else:
                self._feed(self._names[position], value)

    def _feed(self, name: str, value: Value) -> None:
        """Bind an array of any kind. A CUDA session copies one of the host when it is bound, so it is bound each time."""
        if isinstance(value, DeviceArray):
            self._check_device(name)
            wait_for(value)
            self._binding.bind_input(
                name, "cuda", value.device, _element_type(value.dtype), list(value.shape), value.address
            )
        elif value.dtype == BFLOAT16:
            raw = value.view(np.uint16)
            self._binding.bind_ortvalue_input(
                name, self._ort.OrtValue.ortvalue_from_numpy_with_onnx_type(raw, onnx.TensorProto.BFLOAT16)
            )
        else:
            self._binding.bind_cpu_input(name, value)

    def result(self, name: str, target: Value) -> None:
        """Bind an output to the array that it is written to.

        Raises:
            InputError: The array lies on the GPU, and the session runs on the host.
        """
        self._targets[name] = target
        if isinstance(target, DeviceArray):
            self._check_device(name)
            wait_for(target)
            place = ("cuda", target.device, _element_type(target.dtype), list(target.shape), target.address)
        else:
            place = ("cpu", 0, _element_type(target.dtype), list(target.shape), target.ctypes.data)
        self._binding.bind_output(name, *place)

    def run(self) -> None:
        """Run, and wait for the end.

        Raises:
            BackendError: The graph fails on these values, such as an index outside its axis.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # its exceptions share no base of their own
            raise BackendError(
                f"{self._graph}: fails on these arrays: {first_line(error)}; check their values"
            ) from error

    def _check_device(self, name: str) -> None:
        if self._device != "cuda":
            raise InputError(
                f"{self._graph}: tensor '{name}': lies on the GPU, and this session runs on the CPU; open it on cuda, "
                "or copy the array to the host"
            )


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _element_type(dtype: np.dtype[Any]) -> Any:
    return onnx.TensorProto.BFLOAT16 if dtype == BFLOAT16 else dtype.type
