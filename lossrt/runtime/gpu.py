"""Which NVIDIA GPU is here, asked of the driver itself: no framework is imported for it."""

__all__ = ["CudaDriver", "Gpu", "find_gpu", "gpu_present", "require_gpu"]

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lossrt.errors import BackendError

# CUdevice_attribute in the CUDA driver API.
_CAPABILITY_MAJOR = 75
_CAPABILITY_MINOR = 76


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU of this machine.

    Attributes:
        name: The driver's name for it.
        compute_capability: For example `8.9`.
        cuda: Newest CUDA version that the driver serves, for example `12.4`.
    """

    name: str
    compute_capability: str
    cuda: str


def find_gpu(driver: Any | None = None) -> Gpu | None:
    """Return the first GPU, or None without a driver or a device.

    Args:
        driver: The loaded CUDA driver library; None loads `libcuda.so.1`.
    """
    if driver is None:
        try:
            driver = ctypes.CDLL("libcuda.so.1")
        except OSError:
            return None
    device, version = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDriverGetVersion(ctypes.byref(version))
    capability = ".".join(str(_attribute(driver, which, device)) for which in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR))
    # The driver writes 12.4 as 12040.
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Gpu(name.value.decode(errors="replace"), capability, cuda)


def gpu_present() -> bool:
    """Say whether the CUDA driver answers and sees a GPU."""
    return find_gpu() is not None


def require_gpu(*, what: str) -> Gpu:
    """Return the first GPU.

    Args:
        what: What needs it, for the message.

    Raises:
        BackendError: There is none.
    """
    gpu = find_gpu()
    if gpu is None:
        raise BackendError(
            f"{what}: needs an NVIDIA GPU, and the CUDA driver sees none here; check `nvidia-smi`, or run it on the "
            "machine that has one"
        )
    return gpu


def _attribute(driver: Any, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value


class CudaDriver:
    """The few calls of the CUDA driver that arrays of other libraries need, in the context that those libraries share.

    Args:
        library: The loaded driver; None loads `libcuda.so.1`.

    Raises:
        BackendError: There is no driver.
    """

    def __init__(self, library: Any | None = None) -> None:
        try:
            self._library = ctypes.CDLL("libcuda.so.1") if library is None else library
        except OSError as error:
            raise BackendError(f"CUDA driver: cannot be loaded ({error}); check `nvidia-smi`") from error
        self._checked("cuInit", 0)

    def synchronize(self, stream: int, *, device: int = 0) -> None:
        """Wait until a stream is idle.

        Raises:
            BackendError: The driver fails.
        """
        with self._context(device):
            self._checked("cuStreamSynchronize", ctypes.c_void_p(stream))

    def download(self, target: int, source: int, size: int, *, device: int = 0) -> None:
        """Copy `size` bytes from the GPU's address `source` to the host's address `target`.

        Raises:
            BackendError: The driver fails.
        """
        with self._context(device):
            self._checked("cuMemcpyDtoH_v2", ctypes.c_void_p(target), ctypes.c_uint64(source), ctypes.c_size_t(size))

    @contextmanager
    def _context(self, device: int) -> Iterator[None]:
        number, context = ctypes.c_int(), ctypes.c_void_p()
        self._checked("cuDeviceGet", ctypes.byref(number), device)
        self._checked("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        try:
            self._checked("cuCtxPushCurrent_v2", context)
            try:
                yield
            finally:
                self._checked("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
        finally:
            self._checked("cuDevicePrimaryCtxRelease_v2", number)

    def _checked(self, name: str, *arguments: Any) -> None:
        if code := getattr(self._library, name)(*arguments):
            raise BackendError(f"CUDA driver: {name} failed with code {code}; check `nvidia-smi` and its kernel log")
