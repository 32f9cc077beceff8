import io
import os
import stat
import sys

import pytest
from onnx import helper

from lossrt.errors import BackendError, InputError
from lossrt.runtime import compiler
from lossrt.runtime.adapter import build_engine_bytes
from lossrt.runtime.build_log import parse_build_log
from lossrt.runtime.compiler import backend_version, checked_capability, choose_backend, compile_onnx
from lossrt.runtime.gpu import gpu_present
from lossrt.runtime.job import CompileJob
from lossrt.runtime.profiles import ProfileRange
from tests.runtime.graphs import BFLOAT16, DOUBLE, FLOAT, masked_l1, model, needs_rtx, product, relu

no_gpu = pytest.mark.skipif(gpu_present(), reason="this machine has a GPU")


def compiled(proto, **options):
    return compile_onnx(proto.SerializeToString(), backend="rtx", **{"compute_capability": "8.9", **options})


@needs_rtx
def test_a_masked_l1_compiles_to_one_kernel_that_names_its_nodes():
    built = compiled(masked_l1())
    cost = parse_build_log(built.log)
    assert len(built.engine) > 1000
    assert built.build_s > 0
    assert (len(cost.kernels), cost.scratch_bytes) == (1, 0)
    assert set(cost.kernels[0].onnx_nodes) == {"difference", "masked", "terms", "total", "count", "denominator", "loss"}
    assert {"STRONGLY_TYPED", "no TF32"} <= set(built.flags)


@needs_rtx
def test_two_builds_are_byte_identical():
    assert compiled(relu(BFLOAT16, (4, 3))).engine == compiled(relu(BFLOAT16, (4, 3))).engine


@needs_rtx
def test_open_dimensions_are_built_from_the_profile():
    built = compiled(relu(), profile={"B": ProfileRange(1, 10, 32)})
    assert built.profile == {"x": ((1, 3), (10, 3), (32, 3))}
    assert "MinShape: [1,3], OptShape: [10,3], MaxShape: [32,3]" in " ".join(built.log.split())
    cost = parse_build_log(built.log)
    assert [layer.kind for layer in cost.bookkeeping] == ["shape_call"]
    assert len(cost.kernels) == 1


@needs_rtx
def test_the_workspace_is_a_hard_gate():
    scratch = parse_build_log(compiled(product()).log).scratch_bytes
    assert scratch > 1 << 20
    with pytest.raises(BackendError, match=r"cannot build an engine within 1024 bytes of workspace: .*workspace limit"):
        compiled(product(), workspace_bytes=1024)


@needs_rtx
@pytest.mark.parametrize("wanted", ["8.7", "9.0"])
def test_a_gpu_that_is_not_built_for_is_refused_with_those_that_are(wanted):
    with pytest.raises(
        BackendError, match=rf"{wanted}: .*8\.6, 8\.9, 12\.0.*Jetson Orin \(8\.7\) included.*off the device"
    ):
        compiled(masked_l1(), compute_capability=wanted)


@needs_rtx
def test_nodes_that_the_parser_refuses_are_named():
    proto = model(
        [helper.make_node("NonZero", ["x"], ["y"], name="find_objects")], {"x": (FLOAT, [4, 4])}, {"y": (7, [2, None])}
    )
    with pytest.raises(BackendError, match=r"cannot parse it: node 'find_objects' \(NonZero\): .*--target"):
        compiled(proto)


@needs_rtx
def test_the_environment_of_the_caller_is_untouched():
    before, modules = dict(os.environ), set(sys.modules)
    compiled(masked_l1())
    assert dict(os.environ) == before
    assert not {"tensorrt_rtx", "polygraphy"} & (set(sys.modules) - modules)


def test_float64_is_refused_before_the_compiler_sees_it():
    with pytest.raises(InputError, match=r"input 'x' is float64.*cast in the model"):
        compiled(relu(DOUBLE, (4, 3)))


def test_corrupt_file_is_named(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"not onnx")
    with pytest.raises(InputError, match=r"broken\.onnx': expected a valid ONNX model"):
        compile_onnx(tmp_path / "broken.onnx", backend="rtx", compute_capability="8.9")


def test_open_dimension_without_a_profile_is_refused():
    with pytest.raises(InputError, match=r"input 'x': expected a range for every open dimension"):
        compiled(relu())


@pytest.mark.parametrize("wanted", ["sm89", "89", "8.9.1", "", "-8.9"])
def test_malformed_compute_capability_is_refused(wanted):
    with pytest.raises(InputError, match=r"expected MAJOR\.MINOR"):
        checked_capability("rtx", wanted)


@no_gpu
@pytest.mark.parametrize("backend", ["rtx", "tensorrt"])
def test_without_a_gpu_the_compute_capability_must_be_named(backend):
    with pytest.raises(BackendError, match=r"needs an NVIDIA GPU"):
        checked_capability(backend, None)


@pytest.mark.parametrize("backend", [None, "rtx"])
def test_missing_compiler_says_how_to_install_it(monkeypatch, backend):
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError, match=r"cannot import tensorrt_rtx.*pip install tensorrt-rtx polygraphy"):
        choose_backend(backend)


def test_missing_tensorrt_says_where_it_comes_from(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"cannot import tensorrt .*JetPack"):
        choose_backend("tensorrt")


def test_missing_polygraphy_says_how_to_install_it(monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setitem(sys.modules, "polygraphy.backend.trt", None)
    job = CompileJob(backend="rtx", name="m", compute_capability="8.9")
    with pytest.raises(BackendError, match=r"cannot import polygraphy.*pip install --upgrade polygraphy"):
        build_engine_bytes(job, b"", io.StringIO())


def test_unknown_backend_is_refused():
    with pytest.raises(InputError, match=r"backend 'tensort': .*did you mean 'tensorrt'"):
        choose_backend("tensort")


@needs_rtx
@no_gpu
def test_without_a_gpu_rtx_is_chosen():
    assert choose_backend() == "rtx"
    assert backend_version("rtx")[0].isdigit()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -ABRT $$", "was killed by SIGABRT; it said nothing"),
        ("echo 'cannot go on' >&2; exit 9", "ended with exit code 9; its last line: cannot go on"),
        ('echo "[ERROR] bad node" > "$3/build.log"; kill -SEGV $$', r"SIGSEGV; its last line: \[ERROR\] bad node"),
        ('echo "{" > "$3/outcome.json"', "ended with exit code 0"),
        ("exec sleep 30", "did not finish within 0.5 s"),
    ],
    ids=["abort", "exit", "abort after a log", "half an answer", "hang"],
)
def test_a_compiler_that_dies_takes_nobody_along(monkeypatch, tmp_path, script, reason):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(compiler.sys, "executable", str(fake))
    with pytest.raises(BackendError, match=reason):
        compiled(masked_l1(), timeout_s=0.5 if "sleep" in script else 20)
