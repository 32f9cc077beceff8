"""ONNX Runtime: the backend that runs everywhere, on the CPU, or on a GPU by its own kernels or through TensorRT."""

__all__ = ["CUDA_PACKAGE", "OrtSession", "load_error", "ort_version"]

import ctypes
import importlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray

from lossrt.errors import BackendError, InputError
from lossrt.runtime.onnx_model import parse_model, read_model
from lossrt.runtime.ort_binding import OrtBinding, first_line
from lossrt.runtime.session import Port, pick_feeds

CPU_PACKAGE = "onnxruntime"
CUDA_PACKAGE = "onnxruntime-gpu"
_PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
_FRAME = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : (?:Fatal error: )?")
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(bfloat16)": _BFLOAT16,
    "tensor(double)": np.dtype(np.float64),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int8)": np.dtype(np.int8),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(bool)": np.dtype(np.bool_),
}


class OrtSession:
    """An ONNX model loaded into ONNX Runtime.

    Args:
        model: Path of the file, or its bytes.
        device: `cpu`, or `cuda` where onnxruntime-gpu and a GPU are there; `tensorrt` where its TensorRT provider is,
            which leaves to CUDA what TensorRT does not take.
        threads: Threads inside an operator; None leaves it to ONNX Runtime.
        outputs_all: Mark the result of every node of the main graph as an output, after the graph's own.
        operators: A library of operators of the user's own, trusted already (`lossrt.runtime.libraries`).

    Raises:
        InputError: The model is missing, corrupt, or has an operator or type that ONNX Runtime lacks; or the library is
            not one of ONNX Runtime operators.
        BackendError: ONNX Runtime, or its CUDA or TensorRT half, is not installed or cannot start.
    """

    concurrent = True

    def __init__(
        self,
        model: Path | str | bytes,
        *,
        device: Literal["cpu", "cuda", "tensorrt"] = "cpu",
        threads: int | None = None,
        outputs_all: bool = False,
        operators: Path | None = None,
    ) -> None:
        self._ort = _import_onnxruntime()
        self._graph = "ONNX model" if isinstance(model, bytes) else f"ONNX model '{model}'"
        self.backend = "ort-tensorrt" if device == "tensorrt" else "ort"
        self.device = "cpu" if device == "cpu" else "cuda"
        source = _with_all_outputs(model, self._graph) if outputs_all else model
        options = _options(self._ort, threads, operators)
        self._session = self._open(source, _providers(self._ort, device), options)
        # ONNX Runtime falls back to the CPU with no more than a warning.
        if device != "cpu" and _PROVIDERS[device] not in self._session.get_providers():
            raise BackendError(
                f"{self._graph}: ONNX Runtime could not start {device}; check the driver with `nvidia-smi`, and that "
                f"the CUDA, cuDNN and TensorRT libraries which {CUDA_PACKAGE} names are installed"
            )
        self.ports = tuple(_port(entry, self._graph) for entry in self._session.get_inputs())
        self.input_names = tuple(port.name for port in self.ports)
        outputs = self._session.get_outputs()
        self.output_names = tuple(entry.name for entry in outputs)
        # float32 stands for what numpy has no type for, and no graph of ours gives.
        self.output_types = {entry.name: _DTYPES.get(entry.type, np.dtype(np.float32)) for entry in outputs}

    def _open(self, source: Path | str | bytes, providers: list[Any], options: Any) -> Any:
        try:
            return self._ort.InferenceSession(
                source if isinstance(source, bytes) else str(source), options, providers=providers
            )
        except Exception as error:  # its exceptions share no base of their own
            raise InputError(
                f"{self._graph}: ONNX Runtime cannot load it: {first_line(error)}; export it again"
            ) from error

    def run(
        self, feeds: Mapping[str, NDArray[Any]], *, outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Run once.

        Args:
            feeds: Arrays by wire name; names that the graph does not take are ignored.
            outputs: Outputs to return; None returns all.

        Returns:
            Arrays by output name, bfloat16 as `ml_dtypes.bfloat16`.

        Raises:
            InputError: An array is missing, or has another type or shape.
            BackendError: The graph fails on these values, such as an index outside its axis.
        """
        names = list(self.output_names if outputs is None else outputs)
        values = {name: self._value(array) for name, array in pick_feeds(self.ports, feeds, graph=self._graph).items()}
        try:
            results = self._session.run_with_ort_values(names, values)
        except Exception as error:
            raise BackendError(
                f"{self._graph}: fails on these arrays: {first_line(error)}; check their values"
            ) from error
        return {name: _array(result) for name, result in zip(names, results, strict=True)}

    def bound(self, feeds: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """Place inputs and outputs on the device once, and return a call that runs the graph on them.

        Raises:
            InputError: As for `run`.
            BackendError: As for `run`.
        """
        results = self.run(feeds)
        arrays = pick_feeds(self.ports, feeds, graph=self._graph)
        binding = self._session.io_binding()
        for name, array in arrays.items():
            binding.bind_ortvalue_input(name, self._value(array, self.device))
        for name, array in results.items():
            binding.bind_ortvalue_output(name, self._value(array, self.device))
        return _BoundCall(self._session, binding, (arrays, results))

    def binding(self) -> OrtBinding:
        """Return a new set of inputs and outputs for arrays to be bound to; several may run at the same time."""
        return OrtBinding(self._ort, self._session, self.ports, device=self.device, graph=self._graph)

    def _value(self, array: NDArray[Any], device: str = "cpu") -> Any:
        # ONNX Runtime makes bfloat16 values on the CPU only; a CUDA session copies them at each run.
        if array.dtype == _BFLOAT16:
            raw = array.view(np.uint16)
            return self._ort.OrtValue.ortvalue_from_numpy_with_onnx_type(raw, onnx.TensorProto.BFLOAT16)
        return self._ort.OrtValue.ortvalue_from_numpy(array, device, 0)

    def __enter__(self) -> "OrtSession":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # ONNX Runtime has no close: its memory goes with the object.
        self._session = None


@dataclass(frozen=True, slots=True)
class _BoundCall:
    """A run on arrays bound before; holds them, since ONNX Runtime borrows their memory."""

    session: Any
    binding: Any
    held: tuple[dict[str, NDArray[Any]], ...]

    def __call__(self) -> None:
        self.session.run_with_iobinding(self.binding)


def _import_onnxruntime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        # It wraps what its own modules raise on import, Ctrl-C among it.
        for origin in (error.__cause__, error.__context__):
            if isinstance(origin, KeyboardInterrupt):
                raise origin from None
        raise BackendError(
            f"backend 'ort': ONNX Runtime is not installed ({error}); run `pip install {CPU_PACKAGE}`"
        ) from error


def ort_version() -> str:
    """Return ONNX Runtime's version.

    Raises:
        BackendError: It is not installed.
    """
    return str(_import_onnxruntime().__version__)


def load_error(model: Path | bytes, *, operators: Path | None = None) -> str:
    """Return why ONNX Runtime does not load a model on the CPU, in its own words; empty where it does.

    Args:
        model: Path of the file, or its bytes.
        operators: A library of operators of the user's own, trusted already.

    Raises:
        InputError: The library is not one of ONNX Runtime operators.
        BackendError: ONNX Runtime is not installed.
    """
    ort = _import_onnxruntime()
    options = _options(ort, 1, operators)
    source = model if isinstance(model, bytes) else str(model)
    try:
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base of their own
        return _FRAME.sub("", first_line(error))
    return ""


def _options(ort: Any, threads: int | None, operators: Path | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    if operators is not None:
        try:
            options.register_custom_ops_library(str(operators))
        except Exception as error:  # its exceptions share no base of their own
            raise InputError(
                f"--ort-ops '{operators}': expected a library of ONNX Runtime operators (it exports RegisterCustomOps), "
                f"got: {first_line(error)}; build it against this version of ONNX Runtime"
            ) from error
    return options


def _providers(ort: Any, device: str) -> list[Any]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    available = ort.get_available_providers()
    if device == "tensorrt" and _PROVIDERS[device] not in available:
        raise BackendError(
            f"backend 'ort-tensorrt': this ONNX Runtime has only {', '.join(available)}; {CUDA_PACKAGE} beside TensorRT's "
            "libraries has that provider on x86_64; on a Jetson, and wherever TensorRT itself is installed, use "
            "--backend tensorrt"
        )
    if "CUDAExecutionProvider" not in available:
        raise BackendError(
            f"backend 'ort' on cuda: this ONNX Runtime has only {', '.join(available)}; "
            f"run `pip uninstall {CPU_PACKAGE}` and `pip install {CUDA_PACKAGE}` on a machine with an NVIDIA GPU"
        )
    # TF32 would round float32 products to 10 bits of mantissa.
    providers: list[Any] = [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]
    if device == "cuda":
        return providers
    # The TensorRT provider has no option for it: NVIDIA's libraries read this when they start.
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    return ["TensorrtExecutionProvider", *providers]


def _with_all_outputs(model: Path | str | bytes, where: str) -> bytes:
    proto = parse_model(model if isinstance(model, bytes) else read_model(Path(model)), where=where)
    marked = {output.name for output in proto.graph.output}
    for node in proto.graph.node:
        for name in node.output:
            if name and name not in marked:
                marked.add(name)
                proto.graph.output.append(onnx.ValueInfoProto(name=name))
    return bytes(proto.SerializeToString())


def _port(entry: Any, graph: str) -> Port:
    if entry.type not in _DTYPES:
        raise InputError(f"{graph}: input '{entry.name}': expected one of {', '.join(_DTYPES)}, got {entry.type}")
    shape = tuple(size if isinstance(size, int) else None for size in entry.shape)
    return Port(entry.name, _DTYPES[entry.type], shape)


def _array(value: Any) -> NDArray[Any]:
    if value.data_type() != "tensor(bfloat16)":
        array: NDArray[Any] = value.numpy()
        return array
    # OrtValue.numpy() knows no bfloat16: copy the bytes.
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(bytearray(raw), dtype=_BFLOAT16).reshape(value.shape())
