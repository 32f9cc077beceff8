import enum
import inspect
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from lossrt.errors import BackendError, InputError
from lossrt.runtime import trt
from lossrt.runtime.gpu import gpu_present
from lossrt.runtime.trt import CudaMemory, TensorRTSession, open_engine
from tests.runtime.graphs import needs_rtx


class HostMemory:
    """The host's memory in the place of the device's."""

    stream = 7

    def __init__(self):
        self.blocks, self.closed = {}, False

    def allocate(self, size):
        address = 4096 * (len(self.blocks) + 1)
        self.blocks[address] = bytearray(size)
        return address

    def upload(self, address, array):
        assert array.flags.c_contiguous
        assert array.nbytes <= len(self.blocks[address])
        self.blocks[address][: array.nbytes] = array.tobytes()

    def download(self, array, address):
        array[...] = np.frombuffer(self.blocks[address], array.dtype, array.size).reshape(array.shape)

    def synchronize(self):
        pass

    def close(self):
        self.closed = True


Mode = enum.Enum("Mode", "INPUT OUTPUT")
Kind = enum.Enum("Kind", "FLOAT INT32 FP8")


class Engine:
    """y = x[ind], as an engine would run it: x is float32 [-1], ind is int32 [2]."""

    tensors: ClassVar = {
        "x": (Mode.INPUT, Kind.FLOAT, (-1,)),
        "ind": (Mode.INPUT, Kind.INT32, (2,)),
        "y": (Mode.OUTPUT, Kind.FLOAT, (2,)),
    }
    num_io_tensors = 3

    def __init__(self, memory):
        self.memory = memory

    def get_tensor_name(self, number):
        return list(self.tensors)[number]

    def get_tensor_mode(self, name):
        return self.tensors[name][0]

    def get_tensor_dtype(self, name):
        return self.tensors[name][1]

    def get_tensor_shape(self, name):
        return self.tensors[name][2]

    def create_execution_context(self):
        return Context(self)


class Context:
    def __init__(self, engine):
        self.engine, self.shapes, self.addresses, self.runs = engine, {}, {}, 0

    def set_input_shape(self, name, shape):
        self.shapes[name] = shape
        return name != "x" or shape[0] <= 8

    def get_tensor_shape(self, name):
        return self.shapes.get(name, self.engine.get_tensor_shape(name))

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        assert stream == HostMemory.stream
        self.runs += 1
        blocks = self.engine.memory.blocks
        x = np.frombuffer(blocks[self.addresses["x"]], np.float32, self.shapes["x"][0])
        ind = np.frombuffer(blocks[self.addresses["ind"]], np.int32, 2)
        blocks[self.addresses["y"]][:] = x[ind].tobytes()
        return True


class Module:
    """The module `tensorrt`, as far as a session touches it."""

    TensorIOMode = Mode

    class ILogger:
        class Severity(enum.IntEnum):
            ERROR = 1

    def __init__(self, engine):
        self.engine = engine

    def Runtime(self, logger):
        self.logger = logger
        return self

    def deserialize_cuda_engine(self, content):
        if content == b"other gpu":
            self.logger.log(self.ILogger.Severity.ERROR, "made for 9.0\n")
            return None
        return self.engine


@pytest.fixture
def memory():
    return HostMemory()


@pytest.fixture
def session(memory):
    return TensorRTSession(
        b"engine", backend="tensorrt", module=Module(Engine(memory)), memory=memory, name="engine 'e'"
    )


def feeds(size, *ind):
    return {"x": np.arange(size, dtype=np.float32) * 10, "ind": np.array(ind, np.int32), "spare": np.zeros(1)}


def test_names_and_device(session):
    assert (session.backend, session.device) == ("tensorrt", "cuda")
    assert (session.input_names, session.output_names) == (("x", "ind"), ("y",))


def test_sizes_may_grow_and_shrink_between_runs(session):
    for size, ind in ((3, (0, 2)), (8, (7, 7)), (2, (1, 0))):
        assert session.run(feeds(size, *ind))["y"].tolist() == [10 * i for i in ind]


def test_int64_is_narrowed_only_where_it_fits(session):
    wide = feeds(3, 0, 1) | {"ind": np.array([2, 1])}
    assert session.run(wide)["y"].tolist() == [20, 10]
    with pytest.raises(InputError, match=r"tensor 'ind': the engine takes int32"):
        session.run(wide | {"ind": np.array([2**32, 1])})


def test_a_shape_outside_the_profile_is_the_users(session):
    with pytest.raises(InputError, match=r"engine 'e': tensor 'x': shape \[9\] is outside the engine's profile"):
        session.run(feeds(9, 0, 0))


def test_a_missing_array_is_named(session):
    with pytest.raises(InputError, match=r"tensor 'ind': expected int32\[2\]; missing"):
        session.run({"x": np.zeros(2, np.float32)})


def test_a_bound_call_uploads_once(session, memory, monkeypatch):
    call = session.bound(feeds(3, 0, 2))
    monkeypatch.setattr(memory, "upload", None)
    call()
    call()
    assert session._context.runs == 2


def test_a_failed_run_is_an_error(session, monkeypatch):
    monkeypatch.setattr(session._context, "execute_async_v3", lambda stream: False)
    with pytest.raises(BackendError, match=r"engine 'e': the GPU failed"):
        session.run(feeds(3, 0, 1))


def test_memory_is_given_back(session, memory):
    with session:
        pass
    assert memory.closed


def test_an_engine_for_another_gpu_says_why(memory):
    with pytest.raises(BackendError, match=r"cannot be loaded here: made for 9.0; build it on this machine"):
        TensorRTSession(b"other gpu", backend="rtx", module=Module(Engine(memory)), memory=memory)


def test_a_type_without_an_array_type_is_an_error(memory, monkeypatch):
    monkeypatch.setitem(Engine.tensors, "x", (Mode.INPUT, Kind.FP8, (-1,)))
    with pytest.raises(BackendError, match=r"tensor 'x': expected one of .*, got FP8"):
        TensorRTSession(b"engine", backend="rtx", module=Module(Engine(memory)), memory=memory)


@pytest.mark.skipif(gpu_present(), reason="this machine has a GPU")
def test_without_a_gpu_nothing_is_loaded(tmp_path):
    with pytest.raises(BackendError, match=r"engine '.*e\.engine': needs an NVIDIA GPU"):
        open_engine(tmp_path / "e.engine")


@needs_rtx
def test_the_real_api_has_every_name_that_a_session_calls():
    import tensorrt_rtx

    source = inspect.getsource(TensorRTSession)
    for attribute, owner in (("_engine", "ICudaEngine"), ("_context", "IExecutionContext"), ("_runtime", "Runtime")):
        called = set(re.findall(rf"self\.{attribute}\.(\w+)", source))
        assert called
        assert not [name for name in called if not hasattr(getattr(tensorrt_rtx, owner), name)]
    names = set(re.findall(r"module\.([\w.]+)", source)) - {"TensorIOMode.INPUT", "Runtime"}
    assert not names
    assert tensorrt_rtx.TensorIOMode.INPUT
    assert set(trt._DTYPES) <= set(tensorrt_rtx.DataType.__members__)


def test_the_real_cuda_binding_has_every_name_that_memory_calls():
    cuda = pytest.importorskip("polygraphy.cuda")
    source = Path(inspect.getfile(CudaMemory)).read_text()
    assert not [name for name in set(re.findall(r"self\._api\.(\w+)", source)) if not hasattr(cuda.Cuda, name)]
    assert list(inspect.signature(cuda.Cuda.memcpy).parameters)[1:6] == ["dst", "src", "nbytes", "kind", "stream_ptr"]
    assert {"HostToDevice", "DeviceToHost"} <= set(dir(cuda.MemcpyKind))
