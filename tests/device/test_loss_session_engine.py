"""LossSession on an engine: one context, arrays of the GPU; both played by fakes."""

import threading
import time

import numpy as np
import pytest

from lossrt.device import call_plan
from lossrt.device.loss_session import LossSession
from lossrt.errors import BackendError, InputError
from lossrt.runtime.device_array import DeviceArray
from lossrt.runtime.session import Port
from lossrt.runtime.trt import TensorRTSession
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec
from tests.runtime.test_device_array import Driver, OnGpu
from tests.runtime.test_trt import Engine, HostMemory, Module


class Slow:
    """An engine with one context: two runs at a time would be a fault."""

    backend, device, concurrent = "tensorrt", "cuda", False
    input_names, output_names = ("x",), ("y",)
    output_types = {"y": np.dtype(np.float32)}  # noqa: RUF012
    ports = (Port("x", np.dtype(np.float32), (None,)),)

    def __init__(self):
        self.running, self.most, self.bindings, self.fails = 0, 0, 0, False

    def binding(self):
        self.bindings += 1
        return self

    def feed(self, values):
        self.running += 1
        self.most = max(self.most, self.running)
        time.sleep(0.001)

    def result(self, name, target):
        pass

    def run(self):
        self.running -= 1
        if self.fails:
            raise BackendError("engine: fails")

    def __exit__(self, *_):
        self.closed = True


SLOW = GraphSpec("g", (TensorSpec("x", "float32", ("B",), "target"),), (OutputSpec("y"),), {"B": 2})


def test_an_engine_is_called_by_one_thread_at_a_time():
    engine = Slow()
    session = LossSession(engine, SLOW)
    threads = [
        threading.Thread(target=lambda: [session({"x": np.zeros(2, np.float32)}) for _ in range(5)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (engine.most, engine.bindings) == (1, 1)


def test_after_a_failure_the_next_call_starts_anew():
    engine = Slow()
    engine.fails = True
    session = LossSession(engine, SLOW)
    with pytest.raises(BackendError):
        session({"x": np.zeros(2, np.float32)})
    engine.fails = False
    session({"x": np.zeros(2, np.float32)})
    assert engine.bindings == 2


@pytest.fixture
def engine():
    """y = x[ind] on a fake GPU, and the memory of that."""
    memory = HostMemory()
    spec = GraphSpec(
        "g",
        (TensorSpec("x", "float32", ("B",), "target"), TensorSpec("ind", "int64", (2,), "target", 0, "B")),
        (OutputSpec("y", (2,)),),
        {"B": 4},
    )
    session = TensorRTSession(b"engine", backend="tensorrt", module=Module(Engine(memory)), memory=memory, name="e")
    return session, spec, memory


def test_arrays_of_the_gpu_do_not_pass_through_the_host(engine, monkeypatch):
    session, spec, memory = engine
    x = np.array([5, 6, 7, 8], np.float32)
    address = memory.allocate(x.nbytes)
    memory.upload(address, x)
    uploaded = []
    upload = memory.upload
    monkeypatch.setattr(memory, "upload", lambda place, array: (uploaded.append(array.dtype), upload(place, array)))
    with LossSession(session, spec) as losses:
        results = losses({"x": OnGpu(shape=(4,), data=(address, False)), "ind": np.array([3, 0])})
    assert results["y"].tolist() == [8, 5]
    assert uploaded == [np.int32]  # the index, from the host; narrowed for the engine
    assert memory.closed


def test_indices_on_the_gpu_are_checked_on_request(monkeypatch):
    spec = GraphSpec("g", (TensorSpec("ind", "int64", (2,), "target", 0, 4),), (), {})
    ports = (Port("ind", np.dtype(np.int64), (2,)),)
    content = np.array([1, 9])
    array = DeviceArray(4096, (2,), content.dtype, owner=content)
    driver = Driver(content.tobytes())
    monkeypatch.setattr("lossrt.runtime.device_array.CudaDriver", lambda: driver)
    call_plan.Plans(spec, ports, {}, check="host").checked({"ind": array})
    assert driver.calls == []
    with pytest.raises(InputError, match=r"tensor 'ind': expected every value in \[0, 4\), got 9 at \(1,\)"):
        call_plan.Plans(spec, ports, {}, check="all").checked({"ind": array})
