import ctypes

import pytest

from lossrt.errors import BackendError
from lossrt.runtime import gpu
from lossrt.runtime.gpu import Gpu, find_gpu, require_gpu


class Driver:
    """Answers as the CUDA driver does: 0 is success, results go where the pointers point."""

    def __init__(self, init=0, device=0):
        self.init, self.device = init, device

    def cuInit(self, flags):
        return self.init

    def cuDeviceGet(self, pointer, ordinal):
        return self.device

    def cuDeviceGetName(self, buffer, size, device):
        buffer.value = b"Orin"
        return 0

    def cuDriverGetVersion(self, pointer):
        pointer._obj.value = 12060
        return 0

    def cuDeviceGetAttribute(self, pointer, which, device):
        assert isinstance(device, ctypes.c_int)
        pointer._obj.value = {75: 8, 76: 7}[which]
        return 0


def test_the_driver_names_the_gpu():
    assert find_gpu(Driver()) == Gpu("Orin", "8.7", "12.6")


@pytest.mark.parametrize("driver", [Driver(init=100), Driver(device=101)], ids=["no device", "no such device"])
def test_a_driver_without_a_device_is_no_gpu(driver):
    assert find_gpu(driver) is None


def test_without_a_driver_the_message_says_what_needed_it(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(gpu.ctypes, "CDLL", missing)
    assert not gpu.gpu_present()
    with pytest.raises(BackendError, match=r"engine 'x': needs an NVIDIA GPU"):
        require_gpu(what="engine 'x'")
