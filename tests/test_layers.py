"""The torch-free half imports and works where there is no PyTorch, in the oldest Python as well."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TORCH_SIDE = ("torch", "onnxscript", "jaxtyping")
RUNTIMES = ("onnxruntime", "tensorrt", "tensorrt_rtx", "tensorrt_bindings", "polygraphy")

IMPORT_ALL = """
import importlib, pkgutil, sys

for name in sys.argv[1].split(","):
    sys.modules[name] = None  # importing it raises ImportError
import lossrt

def torch_free(package):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module.name in ("lossrt.models", "lossrt.export"):
            continue
        yield module.name
        if module.ispkg:
            yield from torch_free(importlib.import_module(module.name))

names = sorted(torch_free(lossrt))
for name in names:
    importlib.import_module(name)
print(*names)
"""


def python_without(modules: tuple[str, ...], python: str = sys.executable) -> list[str]:
    """Import every torch-free module in a fresh interpreter; return their names."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    command = [python, "-c", IMPORT_ALL, ",".join(modules)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout.split()


@pytest.mark.parametrize("blocked", [TORCH_SIDE, (*TORCH_SIDE, *RUNTIMES)], ids=["no-torch", "no-torch-no-runtime"])
def test_the_torch_free_half_imports(blocked: tuple[str, ...]) -> None:
    names = python_without(blocked)
    assert {"lossrt.bundle", "lossrt.passes.inline", "lossrt.validators.oracle.generic"} <= set(names)
    assert not any(name.startswith(("lossrt.models", "lossrt.export")) for name in names)


def test_blocking_is_what_this_test_relies_on() -> None:
    command = [sys.executable, "-c", "import sys; sys.modules['torch'] = None; import lossrt.models"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "import of torch halted" in result.stderr


def python_310() -> str:
    """Return an interpreter of the oldest supported version that has the torch-free dependencies, or skip."""
    python = os.environ.get("LOSSRT_PYTHON310") or shutil.which("python3.10")
    if python is None:
        pytest.skip("no Python 3.10 here; set LOSSRT_PYTHON310 to one with lossrt's dependencies")
    needed = "import sys, numpy, onnx, pydantic, rich, safetensors, typer; assert sys.version_info[:2] == (3, 10)"
    result = subprocess.run([python, "-c", needed], capture_output=True, text=True, timeout=120)
    if result.returncode:
        pytest.skip(f"{python} lacks lossrt's dependencies; set LOSSRT_PYTHON310 to a Python 3.10 that has them")
    return python


def test_the_torch_free_half_imports_in_python_3_10() -> None:
    assert "lossrt.recipe" in python_without((*TORCH_SIDE, *RUNTIMES), python_310())


WITHOUT_TORCH = """
import sys

for name in ("torch", "onnxscript", "jaxtyping"):
    sys.modules[name] = None
from pathlib import Path
from lossrt.bundle import open_bundle
from lossrt.spec import check_arrays
from lossrt.validators.oracle.table import ORACLES

bundle = open_bundle(Path(sys.argv[1]))
for graph, entry in bundle.manifest.graphs.items():
    for case in bundle.cases(graph, "fp32"):
        check_arrays(entry.spec, case.input)
        for output, estimate in ORACLES[graph](bundle.manifest.recipe, case.input).items():
            if output in case.oracle:  # whole maps are not kept
                assert estimate.value.tobytes() == case.oracle[output].tobytes(), (graph, case.name, output)
print("same")
"""


def test_a_bundle_speaks_for_itself_without_torch(small_bundle) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(small_bundle.root)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "same", result.stderr[-3000:]
