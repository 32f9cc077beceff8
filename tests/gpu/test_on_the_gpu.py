"""Everything that needs a GPU: parity over the golden cases, latency, and engines that do not belong here."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lossrt.bundle import Bundle, Case
from lossrt.device.bench import bench
from lossrt.errors import BackendError
from lossrt.runtime.compiler import COMPUTE_CAPABILITIES
from lossrt.runtime.engines import build_engine
from lossrt.runtime.gpu import require_gpu
from lossrt.runtime.ort import OrtSession
from lossrt.runtime.session import Session
from lossrt.runtime.trt import open_engine
from lossrt.validators.parity import validate
from lossrt.validators.tolerances import DEFAULT_POLICY
from tests.runtime.graphs import masked_l1

pytestmark = pytest.mark.gpu

GRAPH = "generic_loss"
Opener = Callable[[Path], Session]
Note = Callable[[str, str], None]


def failures(bundle: Bundle, opener: Opener) -> tuple[list[str], str]:
    """Judge every golden case; return what fails, and the tally in words."""
    results = validate(bundle, open_session=opener)
    tally = Counter(row.verdict for row in results)
    failed = [
        f"{row.graph}.{row.precision} {row.case} {row.output}"
        for row in results
        if not DEFAULT_POLICY.accepts(row.verdict)
    ]
    return failed, ", ".join(f"{count} {verdict}" for verdict, count in sorted(tally.items()))


def test_every_golden_case_has_parity(bundle: Bundle, opener: Opener, note: Note) -> None:
    failed, tally = failures(bundle, opener)
    note("parity", tally)
    assert failed == []


def test_the_total_is_timed_beside_the_cpu(bundle: Bundle, opener: Opener, note: Note) -> None:
    case = Case.load(bundle.case_path(GRAPH, "fp32", "nominal"))
    path = bundle.graph_path(GRAPH, "fp32")
    with opener(path) as session, OrtSession(path, threads=1) as cpu:
        calls = {"gpu": session.bound(case.input), "cpu": cpu.bound(case.input)}
        rows = {row.name: row for row in bench(calls, baseline="cpu", iterations=200, warm_up=20)}
    gpu = rows["gpu"]
    assert gpu.median_ms > 0
    note("latency", f"{gpu.median_ms * 1e3:.0f} µs median, {gpu.p99_ms * 1e3:.0f} µs p99, B {len(case.input['ind'])}")


def test_runs_repeat_bit_for_bit(bundle: Bundle, opener: Opener) -> None:
    case = Case.load(bundle.case_path(GRAPH, "fp32", "duplicates"))
    with opener(bundle.graph_path(GRAPH, "fp32")) as session:
        first, second = session.run(case.input), session.run(case.input)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_an_engine_for_another_gpu_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="only TensorRT for RTX builds for another GPU")
    here = require_gpu(what="this test").compute_capability
    other = next(capability for capability in COMPUTE_CAPABILITIES if capability != here)
    record = build_engine(
        masked_l1().SerializeToString(),
        out_dir=tmp_path,
        graph="l1",
        precision="fp32",
        backend="rtx",
        compute_capability=other,
    )
    with pytest.raises(BackendError, match=rf"built for compute capability {other}, and this GPU has {here}"):
        open_engine(tmp_path / record.identity.file)
