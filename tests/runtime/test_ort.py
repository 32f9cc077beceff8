import os
import sys
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

from lossrt.errors import BackendError, InputError
from lossrt.runtime.ort import OrtSession
from tests.runtime.graphs import BFLOAT16, FLOAT, FLOAT16, masked_l1, model, relu, save

RNG = np.random.default_rng(5)
FEEDS = {
    "pred": RNG.normal(size=(2, 4)).astype(np.float32),
    "target": RNG.normal(size=(2, 4)).astype(np.float32),
    "mask": np.array([[1, 0, 1, 1], [0, 0, 1, 0]], np.float32),
}
EXPECTED = (np.abs(FEEDS["pred"] - FEEDS["target"]) * FEEDS["mask"]).sum() / (4 + 1e-4)


@pytest.mark.parametrize("as_bytes", [True, False], ids=["bytes", "file"])
def test_runs_a_graph(tmp_path, as_bytes):
    proto = masked_l1()
    source = proto.SerializeToString() if as_bytes else save(proto, tmp_path / "graph.onnx")
    with OrtSession(source, threads=1) as session:
        assert (session.backend, session.device) == ("ort", "cpu")
        assert session.input_names == ("pred", "target", "mask")
        assert session.output_names == ("loss",)
        result = session.run({**FEEDS, "not_an_input": np.zeros(7)})
    assert result["loss"] == pytest.approx(EXPECTED, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(FLOAT16, np.dtype(np.float16)), (BFLOAT16, np.dtype(ml_dtypes.bfloat16)), (FLOAT, np.dtype(np.float32))],
    ids=["fp16", "bf16", "fp32"],
)
def test_each_float_type_goes_in_and_out(kind, dtype):
    values = np.array([[1.5, -2.0, 3.25], [-0.0, 1e-2, 7.0]]).astype(dtype)
    result = OrtSession(relu(kind).SerializeToString()).run({"x": values})["y"]
    assert result.dtype == dtype
    assert np.array_equal(result, np.maximum(values, dtype.type(0)))


def test_empty_batch():
    result = OrtSession(relu(BFLOAT16).SerializeToString()).run({"x": np.zeros((0, 3), ml_dtypes.bfloat16)})
    assert result["y"].shape == (0, 3)


def test_missing_array_is_named():
    with pytest.raises(InputError, match=r"tensor 'mask': expected float32\[2, 4\]; missing.*pred, target; add"):
        OrtSession(masked_l1().SerializeToString()).run({name: FEEDS[name] for name in ("pred", "target")})


def test_all_outputs_are_marked_after_the_graphs_own():
    session = OrtSession(masked_l1().SerializeToString(), outputs_all=True)
    assert session.output_names[0] == "loss"
    results = session.run(FEEDS)
    assert results["count"] == 4
    assert np.array_equal(results["terms"], np.abs(FEEDS["pred"] - FEEDS["target"]) * FEEDS["mask"])
    assert list(session.run(FEEDS, outputs=["count"])) == ["count"]


@pytest.mark.parametrize("kind", [FLOAT, BFLOAT16], ids=["fp32", "bf16"])
def test_bound_call_runs_on_the_arrays_bound_before(kind):
    session = OrtSession(relu(kind).SerializeToString(), threads=1)
    dtype = np.float32 if kind == FLOAT else ml_dtypes.bfloat16
    call = session.bound({"x": np.ones((5, 3), dtype), "spare": np.ones(1)})
    assert [call() for _ in range(3)] == [None] * 3


def test_bound_call_writes_the_results_it_was_bound_to():
    call = OrtSession(masked_l1().SerializeToString()).bound(FEEDS)
    held_inputs, held_outputs = call.held
    held_inputs["mask"][:] = 0
    call()
    assert held_outputs["loss"] == 0


@pytest.mark.parametrize("content", [b"not onnx", b""], ids=["garbage", "empty"])
def test_corrupt_file_is_named_with_the_reason(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.onnx.*cannot load it: \[ONNXRuntimeError\]") as caught:
        OrtSession(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.onnx"):
        OrtSession(tmp_path / "absent.onnx")


def test_failure_on_values_is_the_runtimes():
    gather = model(
        [helper.make_node("GatherElements", ["x", "ind"], ["y"], name="gather", axis=0)],
        {"x": (FLOAT, [3]), "ind": (7, [1])},
        {"y": (FLOAT, [1])},
    )
    session = OrtSession(gather.SerializeToString())
    with pytest.raises(BackendError, match=r"fails on these arrays.*gather"):
        session.run({"x": np.zeros(3, np.float32), "ind": np.array([9])})


def test_missing_onnxruntime_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"pip install onnxruntime`"):
        OrtSession(masked_l1().SerializeToString())


def test_missing_cuda_says_how_to_install_it():
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(BackendError, match=r"pip install onnxruntime-gpu"):
        OrtSession(masked_l1().SerializeToString(), device="cuda")


def test_a_missing_tensorrt_provider_says_where_it_is():
    import onnxruntime

    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has TensorRT")
    with pytest.raises(BackendError, match=r"on a Jetson, .*, use --backend tensorrt"):
        OrtSession(masked_l1().SerializeToString(), device="tensorrt")


class _WithProviders:
    """ONNX Runtime where all providers are built in, and those of `starting` start."""

    SessionOptions = SimpleNamespace

    def __init__(self, starting: tuple[str, ...]) -> None:
        self.starting, self.asked = starting, []

    def get_available_providers(self) -> list[str]:
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, _source: object, _options: object, *, providers: list) -> SimpleNamespace:
        self.asked += providers
        return SimpleNamespace(get_providers=lambda: list(self.starting), get_inputs=list, get_outputs=list)


def test_tensorrt_comes_before_cuda_and_without_tf32(monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    stand_in = _WithProviders(("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"))
    monkeypatch.setitem(sys.modules, "onnxruntime", stand_in)
    session = OrtSession(b"", device="tensorrt")
    cuda = ("CUDAExecutionProvider", {"use_tf32": "0"})
    assert stand_in.asked == ["TensorrtExecutionProvider", cuda, "CPUExecutionProvider"]
    assert (session.backend, session.device) == ("ort-tensorrt", "cuda")
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_provider_that_does_not_start_is_not_replaced_in_silence(monkeypatch, device):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setitem(sys.modules, "onnxruntime", _WithProviders(("CPUExecutionProvider",)))
    with pytest.raises(BackendError, match=f"ONNX Runtime could not start {device}; check the driver"):
        OrtSession(b"", device=device)


def test_warnings_of_onnxruntime_are_not_the_users_business(capfd):
    proto = masked_l1()
    proto.graph.initializer.add().CopyFrom(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "unused"))
    OrtSession(proto.SerializeToString()).run(FEEDS)
    assert capfd.readouterr().err == ""
