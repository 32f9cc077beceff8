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
        self._bfloat16 = {port.name for port in ports if port.dtype == BFLOAT16}
        self._held: dict[str, Value] = {}
        # A CUDA session copies a host array when it is bound.
        self.sees_changes = device == "cpu"

    def feed(self, name: str, value: Value) -> None:
        """Bind an input.

        Raises:
            InputError: The array lies on the GPU, and the session runs on the host.
        """
        self._held[name] = value
        if isinstance(value, DeviceArray):
            self._check_device(name)
            wait_for(value)
            self._binding.bind_input(
                name, "cuda", value.device, _element_type(value.dtype), list(value.shape), value.address
            )
        elif name in self._bfloat16:
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
        self._held[name] = target
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


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _element_type(dtype: np.dtype[Any]) -> Any:
    return onnx.TensorProto.BFLOAT16 if dtype == BFLOAT16 else dtype.type
