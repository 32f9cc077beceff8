"""What the GPU tests share: a whole bundle, who can run it here, and the row that goes into docs/hardware.md."""

import datetime
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lossrt.bundle import Bundle, open_bundle
from lossrt.device.build import open_graph
from lossrt.errors import LossrtError
from lossrt.runtime.compiler import backend_version, choose_backend
from lossrt.runtime.environment import describe_environment
from lossrt.runtime.gpu import find_gpu
from lossrt.runtime.ort import OrtSession
from lossrt.runtime.session import Session

BACKENDS = ("ort-cuda", "tensorrt", "rtx")
GIVEN = "LOSSRT_BUNDLE"

_ROWS = pytest.StashKey[dict[str, dict[str, str]]]()


@pytest.fixture(autouse=True)
def _needs_gpu() -> None:
    if find_gpu() is None:
        pytest.skip("needs an NVIDIA GPU: the CUDA driver sees none here")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """mot17 in fp32 and fp16; on a machine without PyTorch, the bundle at $LOSSRT_BUNDLE."""
    if find_gpu() is None:
        pytest.skip("needs an NVIDIA GPU: the CUDA driver sees none here")
    if given := os.environ.get(GIVEN):
        return open_bundle(Path(given))
    pytest.importorskip("torch", reason=f"exporting needs PyTorch; set {GIVEN} to the folder of an exported bundle")
    from lossrt.export.bundle_from_recipe import bundle_from_recipe
    from lossrt.export.cases import scene_source
    from lossrt.recipe import load_recipe
    from lossrt.validators.oracle.table import ORACLES

    recipe = load_recipe("mot17")
    place = tmp_path_factory.mktemp("gpu") / "mot17"
    source = scene_source(recipe, seed=0)
    return bundle_from_recipe(recipe, place, oracles=ORACLES, source=source, precisions=("fp32", "fp16"))


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each way to run on the GPU; skipped with the reason where it is not installed."""
    name = str(request.param)
    if name == "ort-cuda":
        if "CUDAExecutionProvider" not in describe_environment().providers:
            pytest.skip("this ONNX Runtime has no CUDA provider: run `lossrt doctor`")
        return name
    try:
        return choose_backend(name)
    except LossrtError as error:
        pytest.skip(str(error))


@pytest.fixture
def opener(bundle: Bundle, backend: str) -> Callable[[Path], Session]:
    """Opens a graph of the bundle on the GPU."""
    if backend == "ort-cuda":
        return lambda path: OrtSession(path, device="cuda")
    return lambda path: open_graph(bundle, path, backend=backend)


@pytest.fixture
def note(request: pytest.FixtureRequest, backend: str) -> Callable[[str, str], None]:
    """`note(column, text)`: a figure for this backend's row, printed at the end."""
    rows = request.config.stash.setdefault(_ROWS, {})
    return lambda column, text: rows.setdefault(backend, {}).__setitem__(column, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the rows for docs/hardware.md."""
    if rows := config.stash.get(_ROWS, None):
        terminalreporter.section("rows for docs/hardware.md")
        for line in _lines(rows):
            terminalreporter.write_line(line)


def _lines(rows: dict[str, dict[str, str]]) -> Iterator[str]:
    environment = describe_environment()
    gpu = environment.gpu
    name = f"{gpu.name} ({gpu.compute_capability})" if gpu else "none"
    driver = f"CUDA {gpu.cuda}" + (f", {environment.jetpack}" if environment.jetpack else "") if gpu else "none"
    for backend, figures in rows.items():
        packages = environment.packages
        version = (
            f"ONNX Runtime {packages.get('onnxruntime-gpu') or packages.get('onnxruntime')}"
            if backend == "ort-cuda"
            else f"{backend} {backend_version(backend)}"  # type: ignore[arg-type]
        )
        columns = (figures.get(column, "not run") for column in ("parity", "latency"))
        yield f"| {datetime.date.today()} | {name} | {driver} | {version} | {' | '.join(columns)} |"
