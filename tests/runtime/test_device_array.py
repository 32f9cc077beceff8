import gc

import ml_dtypes
import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.runtime.device_array import LEGACY_STREAM, DeviceArray, as_value, download, wait_for


class Lent:
    """What another library's array shows: DLPack and nothing else."""

    def __init__(self, array, device=None):
        self.array, self.device, self.stream = array, device, None

    def __dlpack_device__(self):
        return self.device or self.array.__dlpack_device__()

    def __dlpack__(self, *, stream=None):
        self.stream = stream
        return self.array.__dlpack__()


class OnGpu:
    def __init__(self, **interface):
        self.__cuda_array_interface__ = {
            "version": 3,
            "shape": (2, 3),
            "typestr": "<f4",
            "data": (4096, False),
        } | interface


class Driver:
    """The host's memory in the place of the GPU's."""

    def __init__(self, content=b""):
        self.content, self.calls = content, []

    def synchronize(self, stream, *, device):
        self.calls.append(("synchronize", stream, device))

    def download(self, target, source, size, *, device):
        self.calls.append(("download", source, size, device))
        np.ctypeslib.as_array((np.ctypeslib.ctypes.c_uint8 * size).from_address(target))[:] = np.frombuffer(
            self.content, np.uint8
        )


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(12, dtype=np.int64).reshape(3, 4)[::2, 1:],
        np.arange(6, dtype=np.float16)[::-1],
        np.array(1.5),
        np.zeros((0, 3), np.int32),
    ],
    ids=["contiguous", "strided", "backwards", "scalar", "empty"],
)
def test_an_array_of_the_host_is_borrowed(array):
    value = as_value(Lent(array), name="x")
    assert isinstance(value, np.ndarray)
    assert (value.dtype, value.shape) == (array.dtype, array.shape)
    assert np.array_equal(value, array)
    assert value.size == 0 or np.shares_memory(value, array)


def test_numpy_comes_back_as_it_is():
    array = np.zeros(3)
    assert as_value(array, name="x") is array


def test_a_borrowed_array_keeps_its_owner_alive():
    array = np.arange(1000, dtype=np.float32)
    value = as_value(Lent(array), name="x")
    expected = array.copy()
    del array
    gc.collect()
    assert np.array_equal(value, expected)


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "int64", "int32", "bool", "uint8"])
def test_pytorch_on_the_cpu_is_not_copied(name):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[0, 1], [1, 0]]).to(getattr(torch, name))
    value = as_value(tensor, name="x")
    assert value.ctypes.data == tensor.data_ptr()
    assert value.dtype == (ml_dtypes.bfloat16 if name == "bfloat16" else name)
    assert value.astype(np.float64).tolist() == [[0, 1], [1, 0]]


def test_what_needs_a_gradient_says_what_to_do():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match=r"tensor 'pred_hm': Tensor cannot be shared: .*detach it"):
        as_value(torch.zeros(2, requires_grad=True), name="pred_hm")


def test_a_type_that_no_graph_takes_is_refused():
    with pytest.raises(InputError, match=r"tensor 'x': expected one of bfloat16, .*, got DLPack's type \(5, 64\)"):
        as_value(Lent(np.zeros(2, np.complex64)), name="x")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ([1.0, 2.0], "got list; convert it"),
        (Lent(np.zeros(2), device=(10, 0)), "DLPack's kind 10"),
        (None, "got NoneType"),
    ],
    ids=["list", "another device", "none"],
)
def test_what_is_no_array_is_refused(source, said):
    with pytest.raises(InputError, match=rf"tensor 'x': .*{said}"):
        as_value(source, name="x")


def test_an_array_of_the_gpu_is_known_by_its_address():
    value = as_value(OnGpu(stream=7), name="x")
    assert isinstance(value, DeviceArray)
    assert (value.address, value.shape, value.dtype, value.stream, value.nbytes) == (4096, (2, 3), np.float32, 7, 24)


def test_dlpack_on_the_gpu_waits_for_its_producer():
    lent = Lent(np.arange(4, dtype=np.float32), device=(2, 1))
    value = as_value(lent, name="x")
    assert isinstance(value, DeviceArray)
    assert (value.address, value.device) == (lent.array.ctypes.data, 1)
    assert lent.stream == value.stream == LEGACY_STREAM
    driver = Driver()
    wait_for(value, driver=driver)
    assert driver.calls == [("synchronize", LEGACY_STREAM, 1)]


@pytest.mark.parametrize(
    ("interface", "accepted"),
    [
        ({"strides": None}, True),
        ({"strides": (12, 4)}, True),
        ({"strides": (4, 8)}, False),
        ({"strides": (99, 4), "shape": (1, 3)}, True),
        ({"mask": object()}, False),
    ],
    ids=["none", "C order", "Fortran's order", "a dimension of 1", "masked"],
)
def test_the_gpus_arrays_have_to_be_contiguous(interface, accepted):
    if accepted:
        assert as_value(OnGpu(**interface), name="x").address == 4096
    else:
        with pytest.raises(InputError, match="tensor 'x': expected"):
            as_value(OnGpu(**interface), name="x")


def test_an_array_of_the_gpu_comes_to_the_host():
    array = np.array([3, 1, 2], np.int64)
    driver = Driver(array.tobytes())
    value = DeviceArray(4096, (3,), array.dtype, owner=None, stream=5)
    assert download(value, driver=driver).tolist() == [3, 1, 2]
    assert driver.calls == [("synchronize", 5, 0), ("download", 4096, 24, 0)]
