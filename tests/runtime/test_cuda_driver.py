import ctypes

import pytest

from lossrt.errors import BackendError
from lossrt.runtime.gpu import CudaDriver, gpu_present


class Library:
    """The CUDA driver, as far as it is called; `failing` returns an error."""

    def __init__(self, failing=""):
        self.failing, self.calls = failing, []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            return 700 if name == self.failing else 0

        return call


CONTEXT = ["cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2"]
LEFT = ["cuCtxPopCurrent_v2", "cuDevicePrimaryCtxRelease_v2"]


def test_calls_are_made_in_the_shared_context():
    library = Library()
    driver = CudaDriver(library)
    driver.synchronize(1)
    assert library.calls == ["cuInit", *CONTEXT, "cuStreamSynchronize", *LEFT]
    library.calls.clear()
    driver.download(ctypes.addressof(ctypes.create_string_buffer(8)), 4096, 8)
    assert library.calls == [*CONTEXT, "cuMemcpyDtoH_v2", *LEFT]


@pytest.mark.parametrize("failing", ["cuStreamSynchronize", "cuCtxPushCurrent_v2"])
def test_a_failure_names_the_call_and_leaves_the_context(failing):
    library = Library(failing)
    with pytest.raises(BackendError, match=rf"CUDA driver: {failing} failed with code 700"):
        CudaDriver(library).synchronize(1)
    assert library.calls[-1] == "cuDevicePrimaryCtxRelease_v2"


@pytest.mark.skipif(gpu_present(), reason="this machine has a GPU")
def test_without_a_driver_it_says_so():
    with pytest.raises(BackendError, match="CUDA driver: c"):
        CudaDriver()
