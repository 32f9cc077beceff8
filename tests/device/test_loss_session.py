from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

from lossrt.bundle import Case
from lossrt.device import call_plan
from lossrt.device.loss_session import LossSession
from lossrt.errors import BackendError, InputError
from lossrt.runtime.gpu import gpu_present
from lossrt.runtime.ort import OrtSession
from lossrt.runtime.session import Port
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec
from tests.runtime.test_device_array import Lent, OnGpu

GRAPH = "generic_loss"


@pytest.fixture(scope="module")
def session(small_bundle):
    with LossSession.from_bundle(small_bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def cases(small_bundle):
    return list(small_bundle.cases(GRAPH, "fp32"))


@pytest.fixture
def arrays(cases):
    return {name: array.copy() for name, array in cases[0].input.items()}


def bits(results):
    return {name: np.asarray(array).tobytes() for name, array in results.items()}


def test_it_gives_the_bits_of_the_bare_runtime(small_bundle, session, cases):
    bare = OrtSession(small_bundle.graph_path(GRAPH, "fp32"), threads=1)
    batches = set()
    for case in [*cases, *cases[::-1]]:
        assert bits(session(case.input)) == bits(bare.run(case.input)), case.name
        batches.add(len(case.input["ind"]))
    assert len(batches) > 1  # the lane changed its outputs and shapes in between


def test_a_path_is_as_good_as_a_bundle(small_bundle, session, arrays):
    with LossSession.from_bundle(str(small_bundle.root), threads=None) as other:
        assert other(arrays).keys() == session(arrays).keys()


def test_what_other_libraries_own_is_read_where_it_lies(session, arrays):
    torch = pytest.importorskip("torch")
    expected = bits(session(arrays))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    assert bits(session(tensors)) == expected
    assert bits(session({name: Lent(array) for name, array in arrays.items()})) == expected


def test_bfloat16_of_pytorch_reaches_the_graph(tmp_path):
    torch = pytest.importorskip("torch")
    from tests.runtime.graphs import BFLOAT16, relu, save

    graph = OrtSession(save(relu(BFLOAT16), tmp_path / "r.onnx"))
    spec = GraphSpec("relu", (TensorSpec("x", "float32", ("B", 3), "target"),), (OutputSpec("y", ("B", 3)),), {"B": 2})
    assert graph.ports[0].dtype == ml_dtypes.bfloat16
    x = torch.tensor([[1.5, -2, 3]], dtype=torch.bfloat16)
    plans = call_plan.Plans(spec, graph.ports, graph.output_types, check="host")
    assert plans.checked({"x": x}).values[0].ctypes.data == x.data_ptr()
    binding, y = graph.binding(), np.zeros((1, 3), ml_dtypes.bfloat16)
    binding.feed(plans.checked({"x": x}).values)
    binding.result("y", y)
    binding.run()
    assert y.tolist() == [[1.5, 0, 3]]


def test_a_strided_array_is_taken_too(session, arrays):
    expected = bits(session(arrays))
    wide = np.repeat(arrays["pred_hm"], 2, axis=3)
    assert bits(session(arrays | {"pred_hm": wide[..., ::2]})) == expected


def test_what_changes_in_a_bound_array_counts(session, arrays):
    before = session(arrays)["loss_hm"]
    arrays["pred_hm"] += 1
    assert session(arrays)["loss_hm"] != before
    arrays["pred_hm"] -= 1
    arrays["ind"][...] = -1
    with pytest.raises(InputError, match="tensor 'ind'"):
        session(arrays)


def test_results_belong_to_the_caller(session, arrays):
    first = session(arrays)
    kept = bits(first)
    arrays["pred_hm"] += 3
    second = session(arrays)
    assert bits(first) == kept != bits(second)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ind", -1), ("ind", 34 * 60), ("ind", -(2**63)), ("ind", 2**63 - 1), ("cat", 1), ("cat", -1)],
    ids=["below", "just past", "smallest", "largest", "class past", "class below"],
)
def test_an_index_outside_its_range_is_refused_by_place_and_value(session, arrays, name, value):
    session(arrays)
    arrays[name][1, 2] = value
    with pytest.raises(InputError, match=rf"tensor '{name}': expected every value in .*, got {value} at \(1, 2\)"):
        session(arrays)
    arrays[name][1, 2] = 0
    session(arrays)


def test_the_largest_index_is_legal(session, arrays):
    arrays["ind"][...] = 34 * 60 - 1
    assert np.isfinite(session(arrays)["loss"])


def test_a_range_may_begin_below_0():
    spec = GraphSpec("g", (TensorSpec("ids", "int64", ("M",), "target", -1, "N"),), (), {"M": 3, "N": 5})
    plans = call_plan.Plans(spec, (Port("ids", np.dtype(np.int64), (None,)),), {}, check="host")
    plans.checked({"ids": np.array([-1, 4, 0])})
    for bad in (-2, 5):
        with pytest.raises(InputError, match=rf"got {bad} at \(1,\)"):
            plans.checked({"ids": np.array([0, bad, 0])})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ind": None}, r"tensor 'ind': expected a numpy array"),
        ({"ind": np.zeros((3, 32), np.int32)}, r"tensor 'ind': expected int64\[B >= 1, M=32\], got int32\[3, 32\]"),
        ({"hm": np.zeros((3, 1, 34, 61), np.float32)}, r"tensor 'hm': expected float32\[B >= 1, 1, H=34, W=60\]"),
        (
            {"mask": np.zeros((2, 32), np.float32)},
            r"tensor 'mask': expected float32\[B=3, M=32\], got float32\[2, 32\]",
        ),
        ({"pred_hm": np.zeros((3, 1, 34, 60), np.float16)}, r"tensor 'pred_hm': expected float32\[.*\], got float16"),
        ({"pred_hm": np.zeros((3, 1, 34, 60), ">f4")}, r"tensor 'pred_hm': expected float32"),
        ({"mask": np.float32(1)}, r"tensor 'mask': expected"),
    ],
    ids=["none", "int32", "width", "batch", "half", "byte order", "scalar"],
)
def test_an_array_that_does_not_fit_is_named(session, arrays, change, said):
    with pytest.raises(InputError, match=said):
        session(arrays | change)
    session(arrays)


def test_missing_arrays_are_all_named(session, arrays):
    del arrays["ind"], arrays["cat"]
    with pytest.raises(InputError, match=r"tensor 'ind': expected among .*add what is missing: cat, ind"):
        session(arrays)


def test_results_can_be_written_where_the_caller_wants(session, arrays):
    expected = bits(session(arrays))
    out = session.outputs(arrays)
    for _ in range(2):
        results = session(arrays, out={"loss": out["loss"]})
        assert results["loss"] is out["loss"]
        assert bits(results) == expected
    session(arrays | {"pred_hm": arrays["pred_hm"] + 1})
    assert out["loss"].tobytes() == expected["loss"]  # let go of after its call


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (
            {"loss": np.zeros(1, np.float32)},
            r"out: 'loss': expected a contiguous, writable float32\[\], got float32\[1\]",
        ),
        ({"loss": np.zeros((), np.float64)}, "got float64"),
        ({"lost": np.zeros((), np.float32)}, "'lost': no such output; valid: loss, loss_hm"),
        ({"loss": 3.0}, "tensor 'loss': expected a numpy array"),
    ],
    ids=["shape", "type", "unknown", "no array"],
)
def test_a_place_that_does_not_fit_is_refused(session, arrays, out, said):
    with pytest.raises(InputError, match=said):
        session(arrays, out=out)


def test_a_read_only_place_is_refused(session, arrays):
    place = np.zeros((), np.float32)
    place.flags.writeable = False
    with pytest.raises(InputError, match=r"writable float32\[\], got a read-only float32\[\]"):
        session(arrays, out={"loss": place})


def test_the_array_that_the_graph_cannot_take_is_blamed(session, arrays):
    # The first that carries H is right; it is the second that is not.
    with pytest.raises(InputError, match=r"tensor 'pred_hm': expected float32\[B >= 1, 1, H=34, W=60\], got .*35, 60"):
        session(arrays | {"pred_hm": np.zeros((3, 1, 35, 60), np.float32)})
    empty = {name: array[:0] for name, array in arrays.items()}
    with pytest.raises(InputError, match=r"expected .*\[B >= 1, .*got .*\[0, "):
        session(empty)
    with pytest.raises(InputError, match=r"expected arrays by name, .*got list"):
        session(list(arrays.values()))


def test_a_closed_session_says_so(small_bundle, arrays):
    with LossSession.from_bundle(small_bundle) as session:
        session(arrays)
    with pytest.raises(InputError, match=r"its session is closed; call it inside its `with` block"):
        session(arrays)


def test_threads_do_not_mix_their_arrays(session, cases):
    expected = {case.name: bits(session(case.input)) for case in cases}

    def work(number):
        for turn in range(50):
            case = cases[(number + turn) % len(cases)]
            if bits(session(case.input)) != expected[case.name]:
                return case.name
        return None

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [None] * 4
    assert len(session._lanes) <= 5


def test_an_array_of_the_gpu_needs_a_session_there(session, arrays):
    shape = arrays["pred_hm"].shape
    with pytest.raises(InputError, match="tensor 'pred_hm': lies on the GPU, and this session runs on the CPU"):
        session(arrays | {"pred_hm": OnGpu(shape=shape)})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"graph": "generic"}, "graph 'generic': not in bundle"),
        ({"precision": "fp8"}, "precision 'fp8'.*valid: fp32"),
        ({"backend": "onnx"}, "backend 'onnx': unknown; .*valid: ort, ort-cuda, ort-tensorrt, rtx, tensorrt"),
        ({"check": "gpu"}, "check 'gpu': unknown; .*valid: all, host, none"),
        ({"device": "gpu"}, "device 'gpu': unknown; .*valid: cpu, cuda"),
        ({"threads": 0}, "threads: expected at least 1, .*got 0"),
    ],
    ids=["graph", "precision", "backend", "check", "device", "threads"],
)
def test_what_is_not_there_is_named(small_bundle, options, said):
    with pytest.raises(InputError, match=said):
        LossSession.from_bundle(small_bundle, **options)


@pytest.mark.skipif(gpu_present(), reason="this machine has a GPU")
@pytest.mark.parametrize("backend", ["ort-cuda", "rtx"])
def test_without_a_gpu_it_says_so(small_bundle, backend):
    with pytest.raises(BackendError):
        LossSession.from_bundle(small_bundle, backend=backend)


def test_plans_do_not_pile_up(monkeypatch, session, arrays):
    monkeypatch.setattr(call_plan, "MOST_PLANS", 2)
    with_batch = {size: {name: array[:size] for name, array in arrays.items()} for size in (1, 2, 3)}
    for size in (1, 2, 3, 1, 2, 3):
        session(with_batch[size])
        assert len(session._plans._plans) <= 3


def test_a_case_can_be_loaded_and_run(small_bundle, session):
    case = Case.load(small_bundle.case_path(GRAPH, "fp32", "nominal"))
    assert session(case.input)["loss"] == pytest.approx(case.oracle["loss"], rel=1e-5)


def test_an_output_comes_in_the_graphs_own_type(tmp_path):
    from tests.runtime.graphs import FLOAT16, relu, save

    graph = OrtSession(save(relu(FLOAT16), tmp_path / "r.onnx"))
    spec = GraphSpec("relu", (TensorSpec("x", "float32", ("B", 3), "target"),), (OutputSpec("y", ("B", 3)),), {"B": 2})
    with LossSession(graph, spec) as session:
        y = session({"x": np.array([[1, -2, 3]], np.float16)})["y"]
    assert (y.dtype, y.tolist()) == (np.float16, [[1, 0, 3]])
