import inspect
import re

import numpy as np
import pytest

from lossrt.errors import BackendError, InputError
from lossrt.runtime.device_array import DeviceArray
from lossrt.runtime.trt import TensorRTSession
from lossrt.runtime.trt_binding import TensorRTBinding
from tests.runtime.graphs import needs_rtx
from tests.runtime.test_trt import Engine, HostMemory, Module


@pytest.fixture
def memory():
    return HostMemory()


@pytest.fixture
def session(memory):
    return TensorRTSession(
        b"engine", backend="tensorrt", module=Module(Engine(memory)), memory=memory, name="engine 'e'"
    )


def on_gpu(memory, array):
    """The array in the fake GPU's memory."""
    address = memory.allocate(array.nbytes)
    memory.upload(address, array)
    return DeviceArray(address, array.shape, array.dtype, owner=array)


def test_arrays_of_the_host_are_copied_there_and_back(session):
    binding, y = session.binding(), np.zeros(2, np.float32)
    binding.result("y", y)
    for size, ind in ((3, [2, 0]), (8, [7, 1]), (2, [1, 1])):
        binding.feed([np.arange(size, dtype=np.float32) * 10, np.array(ind, np.int64)])
        binding.run()
        assert y.tolist() == [10 * i for i in ind]


def test_arrays_of_the_gpu_are_used_where_they_lie(session, memory, monkeypatch):
    x, ind = on_gpu(memory, np.array([5, 6, 7], np.float32)), on_gpu(memory, np.array([2, 1], np.int32))
    y = on_gpu(memory, np.zeros(2, np.float32))
    monkeypatch.setattr(memory, "upload", None)
    monkeypatch.setattr(memory, "download", None)
    monkeypatch.setattr(memory, "allocate", None)
    binding = session.binding()
    binding.feed([x, ind])
    binding.result("y", y)
    binding.run()
    assert np.frombuffer(memory.blocks[y.address], np.float32).tolist() == [7, 6]


def test_a_run_of_the_session_in_between_does_no_harm(session, memory):
    binding, y = session.binding(), np.zeros(2, np.float32)
    binding.feed([np.array([1, 2], np.float32), np.array([1, 0], np.int32)])
    binding.result("y", y)
    assert session.run({"x": np.array([8, 9], np.float32), "ind": np.array([0, 1], np.int32)})["y"].tolist() == [8, 9]
    binding.run()
    assert y.tolist() == [2, 1]
    assert session.run({"x": np.array([3, 4], np.float32), "ind": np.array([0, 1], np.int32)})["y"].tolist() == [3, 4]


def test_another_type_on_the_gpu_is_refused(session, memory):
    with pytest.raises(InputError, match=r"engine 'e': tensor 'ind': expected int32, got int64 on the GPU"):
        session.binding().feed([np.zeros(2, np.float32), on_gpu(memory, np.array([1, 0], np.int64))])


def test_a_shape_outside_the_profile_is_the_users(session):
    with pytest.raises(InputError, match=r"tensor 'x': shape \[9\] is outside the engine's profile"):
        session.binding().feed([np.zeros(9, np.float32), np.zeros(2, np.int32)])


def test_a_refused_address_is_an_error(session, monkeypatch):
    binding = session.binding()
    binding.feed([np.zeros(2, np.float32), np.zeros(2, np.int32)])
    monkeypatch.setattr(session._context, "set_tensor_address", lambda name, address: False)
    with pytest.raises(BackendError, match=r"tensor 'x': its address was refused"):
        binding.run()


@needs_rtx
def test_the_real_api_has_every_name_that_a_binding_calls():
    import tensorrt_rtx

    called = set(re.findall(r"self\._context\.(\w+)", inspect.getsource(TensorRTBinding)))
    assert called
    assert not [name for name in called if not hasattr(tensorrt_rtx.IExecutionContext, name)]
