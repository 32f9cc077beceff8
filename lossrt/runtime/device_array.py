"""Arrays that other libraries own, taken over without a copy through DLPack or `__cuda_array_interface__`.

Sources: the DLPack 1.0 header (`dlpack/dlpack.h`), and the CUDA Array Interface, version 3.
"""

__all__ = ["DeviceArray", "Value", "as_value", "download", "wait_for"]

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.runtime.gpu import CudaDriver

HOST_DEVICES = (1, 3)  # kDLCPU, kDLCUDAHost
CUDA_DEVICES = (2, 13)  # kDLCUDA, kDLCUDAManaged
LEGACY_STREAM = 1  # of CUDA: waits for every other stream that does not forbid it
_KINDS = {(0, 32): "int32", (0, 64): "int64", (2, 16): "float16", (2, 32): "float32", (2, 64): "float64"}
_KINDS |= {(4, 16): "bfloat16", (6, 8): "bool", (1, 8): "uint8", (0, 8): "int8"}


@dataclass(frozen=True, slots=True, eq=False)
class DeviceArray:
    """A contiguous array in the memory of the GPU.

    Attributes:
        address: Where it starts.
        shape: Its sizes.
        dtype: Type of its elements.
        owner: What holds the memory; kept so that it lives as long as the array.
        stream: CUDA stream whose work must have ended before the array is read; None where nothing is pending.
        device: Number of the GPU.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    owner: object
    stream: int | None = None
    device: int = 0

    @property
    def nbytes(self) -> int:
        """Its size, bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


Value = NDArray[Any] | DeviceArray


def as_value(source: Any, *, name: str) -> Value:
    """Take over an array of another library; nothing is copied.

    Args:
        source: A numpy array, which comes back as it is; what has `__dlpack__`, such as a PyTorch, CuPy or JAX array; or
            what has `__cuda_array_interface__`.
        name: What messages call it.

    Returns:
        A numpy array for memory of the host, bfloat16 as `ml_dtypes.bfloat16`; a `DeviceArray` for the GPU's.

    Raises:
        InputError: It is none of these, lies on another kind of device, is not contiguous on the GPU, or has a type that
            no graph takes.
    """
    if isinstance(source, (np.ndarray, DeviceArray)):
        return source
    try:
        if hasattr(source, "__dlpack_device__"):
            return _from_dlpack(source, name)
        if hasattr(source, "__cuda_array_interface__"):
            return _from_cuda_interface(source.__cuda_array_interface__, source, name)
    except (BufferError, RuntimeError, TypeError) as error:  # what the libraries raise where they cannot give it
        raise InputError(
            f"tensor '{name}': {type(source).__name__} cannot be shared: {error}; detach it, and make it contiguous"
        ) from error
    raise InputError(
        f"tensor '{name}': expected a numpy array, or one with __dlpack__ or __cuda_array_interface__, got "
        f"{type(source).__name__}; convert it with numpy.asarray"
    )


def wait_for(array: DeviceArray, *, driver: CudaDriver | None = None) -> None:
    """Wait until the work that makes the array has ended.

    Raises:
        BackendError: The CUDA driver is missing or fails.
    """
    if array.stream is not None:
        (driver or CudaDriver()).synchronize(array.stream, device=array.device)


def download(array: DeviceArray, *, driver: CudaDriver | None = None) -> NDArray[Any]:
    """Copy an array to the host, once the work that makes it has ended.

    Raises:
        BackendError: The CUDA driver is missing or fails.
    """
    chosen = driver or CudaDriver()
    wait_for(array, driver=chosen)
    copy = np.empty(array.shape, array.dtype)
    chosen.download(copy.ctypes.data, array.address, array.nbytes, device=array.device)
    return copy


def _from_dlpack(source: Any, name: str) -> Value:
    kind, device = (int(part) for part in source.__dlpack_device__())
    if kind in HOST_DEVICES:
        capsule = source.__dlpack__()
        shape, strides, dtype, address = _read_capsule(capsule, name)
        return _borrow(address, shape, strides, dtype, capsule)
    if kind not in CUDA_DEVICES:
        raise InputError(
            f"tensor '{name}': lies on a device of DLPack's kind {kind}; expected the host's memory or CUDA's: move it"
        )
    # The producer makes this stream wait for its own work.
    capsule = source.__dlpack__(stream=LEGACY_STREAM)
    shape, strides, dtype, address = _read_capsule(capsule, name)
    _check_contiguous(shape, strides, name)
    return DeviceArray(address, shape, dtype, owner=(capsule, source), stream=LEGACY_STREAM, device=device)


def _from_cuda_interface(interface: dict[str, Any], source: object, name: str) -> DeviceArray:
    if interface.get("mask") is not None:
        raise InputError(f"tensor '{name}': expected no mask, got one; fill the masked elements")
    dtype = np.dtype(interface["typestr"])
    shape = tuple(int(size) for size in interface["shape"])
    strides = interface.get("strides")
    elements = None if strides is None else tuple(int(stride) // dtype.itemsize for stride in strides)
    _check_contiguous(shape, elements, name)
    return DeviceArray(int(interface["data"][0]), shape, dtype, owner=source, stream=interface.get("stream"))


def _check_contiguous(shape: tuple[int, ...], strides: tuple[int, ...] | None, name: str) -> None:
    expected, step = [], 1
    for size in reversed(shape):
        expected.append(step)
        step *= size
    if strides is None or 0 in shape:
        return
    if any(size > 1 and got != want for size, got, want in zip(shape, strides, reversed(expected), strict=True)):
        raise InputError(f"tensor '{name}': expected it contiguous on the GPU, got strides {list(strides)}; copy it")


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("number", ctypes.c_int32))


class _ElementType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _ElementType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


def _read_capsule(capsule: object, name: str) -> tuple[tuple[int, ...], tuple[int, ...] | None, np.dtype[Any], int]:
    """Return shape, strides in elements, type and address. The capsule stays unused: its destructor frees the tensor."""
    pointer: Callable[..., int | None] = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)  # type: ignore[attr-defined]
    tensor = _Tensor.from_address(pointer(capsule, b"dltensor") or 0)
    kind = (tensor.dtype.code, tensor.dtype.bits)
    if kind not in _KINDS or tensor.dtype.lanes != 1:
        raise InputError(
            f"tensor '{name}': expected one of {', '.join(sorted(_KINDS.values()))}, got DLPack's type {kind}; convert it"
        )
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    strides = tuple(tensor.strides[axis] for axis in range(tensor.ndim)) if tensor.strides else None
    label = _KINDS[kind]
    dtype = np.dtype(ml_dtypes.bfloat16) if label == "bfloat16" else np.dtype(label)
    return shape, strides, dtype, (tensor.data or 0) + tensor.byte_offset


@dataclass(frozen=True, slots=True)
class _Borrowed:
    """What numpy asks for the memory of: it keeps this object, and so the capsule, as long as the array."""

    __array_interface__: dict[str, Any]
    capsule: object


def _borrow(
    address: int, shape: tuple[int, ...], strides: tuple[int, ...] | None, dtype: np.dtype[Any], capsule: object
) -> NDArray[Any]:
    if 0 in shape:
        return np.empty(shape, dtype)
    size = dtype.itemsize
    steps = None if strides is None else tuple(step * size for step in strides)
    # numpy's own from_dlpack refuses bfloat16, which no typestr names either: borrow bits.
    bits = f"<u{size}" if dtype.name == "bfloat16" else dtype.str
    interface = {"version": 3, "shape": shape, "strides": steps, "typestr": bits, "data": (address, False)}
    return np.asarray(_Borrowed(interface, capsule)).view(dtype)
