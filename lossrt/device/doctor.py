"""What this machine has, what that allows, and the next command for whatever is missing."""

__all__ = ["Check", "Machine", "compiler_target", "examine", "look_around"]

import ctypes
import importlib.util
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lossrt.errors import BackendError
from lossrt.runtime.adapter import import_module
from lossrt.runtime.environment import Environment, describe_environment
from lossrt.runtime.job import MODULES, BackendName

Status = Literal["ok", "missing", "broken", "not here"]

_NVIDIA_VENDOR = "0x10de"
_REPORTS = ("jinja2", "matplotlib")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for.

    Attributes:
        name: What.
        status: `ok`; `missing` or `broken`, with a command that helps; `not here` where this machine cannot have it.
        found: Version, or why not.
        gives: What it is good for.
        next: The command to run; empty where nothing is to be done.
    """

    name: str
    status: Status
    found: str
    gives: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the checks go by.

    Attributes:
        environment: Software and GPU.
        compilers: Version by compiler that imports.
        broken: Why it does not import, by compiler that is installed all the same.
        reports: Which of the packages that documents need are installed.
        processor: Such as `x86_64` or `aarch64`.
        driver: True where the CUDA driver's library loads.
        nvidia: True where the PCI bus has a device of NVIDIA's, or this is a Jetson.
    """

    environment: Environment
    compilers: Mapping[BackendName, str] = field(default_factory=dict)
    broken: Mapping[BackendName, str] = field(default_factory=dict)
    reports: tuple[str, ...] = ()
    processor: str = "x86_64"
    driver: bool = False
    nvidia: bool = False


def look_around(pci: Path = Path("/sys/bus/pci/devices")) -> Machine:
    """Look at this machine. Imports ONNX Runtime and the compilers where they are installed, not PyTorch.

    Args:
        pci: Where the kernel lists the devices of the PCI bus.
    """
    environment = describe_environment()
    compilers: dict[BackendName, str] = {}
    broken: dict[BackendName, str] = {}
    for backend, module in MODULES.items():
        if _installed(module):
            try:
                compilers[backend] = str(import_module(backend).__version__)
            except BackendError as error:
                broken[backend] = str(error)
    return Machine(
        environment=environment,
        compilers=compilers,
        broken=broken,
        reports=tuple(name for name in _REPORTS if _installed(name)),
        processor=platform.machine(),
        driver=_driver_loads(),
        nvidia=environment.jetpack is not None or any(_vendors(pci, _NVIDIA_VENDOR)),
    )


def examine(machine: Machine) -> tuple[Check, ...]:
    """Judge what was found.

    Args:
        machine: From `look_around`.

    Returns:
        The checks, in the order of the work: export, prove, compile, run, report.
    """
    return (
        _pytorch(machine),
        *_onnxruntime(machine),
        *(_compiler(machine, backend) for backend in MODULES),
        _polygraphy(machine),
        *_gpu(machine),
        _jetpack(machine),
        _documents(machine),
    )


def compiler_target(backend: BackendName, version: str) -> str:
    """Return the lint target whose rules hold for an installed compiler: the newest that is not newer than it.

    Args:
        backend: Which compiler.
        version: Its version, such as `10.3.0`.
    """
    if backend == "rtx":
        return "rtx"
    major, minor = (int(part) for part in (*version.split("."), "0")[:2])
    known = (((11, 0), "trt11"), ((10, 13), "trt10.13"), ((9, 0), "trt10.3"), ((8, 6), "trt8.6"))
    return next((name for since, name in known if (major, minor) >= since), "jetpack5")


def _pytorch(machine: Machine) -> Check:
    gives = "lossrt export; nothing else needs it"
    packages = machine.environment.packages
    if machine.environment.jetpack is not None and "torch" not in packages:
        return Check("PyTorch", "not here", "not installed", gives + ": export on another machine")
    return _package(packages, "torch", "PyTorch", gives, "pip install torch==2.13.0 onnxscript jaxtyping")


def _onnxruntime(machine: Machine) -> Iterator[Check]:
    environment = machine.environment
    packages = environment.packages
    version = packages.get("onnxruntime-gpu") or packages.get("onnxruntime")
    gives = "lossrt validate, bench: every graph on the CPU"
    if not environment.providers:
        yield Check("ONNX Runtime", "missing", "not installed", gives, "pip install onnxruntime")
        return
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in environment.providers)
    yield Check("ONNX Runtime", "ok", f"{version or 'version unknown'}: {providers}", gives)
    gives = "lossrt validate --backend ort-cuda"
    if "CUDAExecutionProvider" in environment.providers:
        yield Check("ONNX Runtime on CUDA", "ok", "CUDA provider present", gives)
    elif environment.gpu is None:
        yield Check("ONNX Runtime on CUDA", "not here", "no GPU", gives)
    else:
        command = "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
        yield Check("ONNX Runtime on CUDA", "missing", "only on the CPU", gives, command)


def _compiler(machine: Machine, backend: BackendName) -> Check:
    name = {"tensorrt": "TensorRT", "rtx": "TensorRT for RTX"}[backend]
    gives = {
        "tensorrt": "lossrt build for the GPU of this machine",
        "rtx": "lossrt build and cost for RTX GPUs, without a GPU; lint --target rtx with the real parser",
    }[backend]
    if backend in machine.broken:
        return Check(name, "broken", machine.broken[backend], gives, _install(machine, backend))
    if backend in machine.compilers:
        limited = " (no GPU: it cannot build)" if backend == "tensorrt" and machine.environment.gpu is None else ""
        return Check(name, "ok", machine.compilers[backend] + limited, gives)
    if backend == "rtx" and machine.processor != "x86_64":
        return Check(name, "not here", f"there is none for {machine.processor}", gives)
    if backend == "tensorrt" and machine.environment.gpu is None and machine.environment.jetpack is None:
        return Check(name, "not here", "no GPU to build for", gives)
    return Check(name, "missing", "not installed", gives, _install(machine, backend))


def _install(machine: Machine, backend: BackendName) -> str:
    if backend == "rtx":
        return "pip install --upgrade tensorrt-rtx polygraphy"
    if machine.environment.jetpack is None:
        return "pip install --upgrade tensorrt"
    return "sudo apt-get install python3-libnvinfer && python3 -m venv --system-site-packages VENV"


def _polygraphy(machine: Machine) -> Check:
    gives = "lossrt build, and running engines"
    return _package(machine.environment.packages, "polygraphy", "polygraphy", gives, "pip install polygraphy")


def _gpu(machine: Machine) -> Iterator[Check]:
    gpu = machine.environment.gpu
    gives = "running engines, and ONNX Runtime on CUDA"
    if gpu is not None:
        yield Check("CUDA driver", "ok", f"serves CUDA {gpu.cuda}", gives)
        yield Check("GPU", "ok", f"{gpu.name}, compute capability {gpu.compute_capability}", gives)
    elif not machine.nvidia:
        yield Check("CUDA driver", "not here", "no NVIDIA device on the PCI bus", gives)
        yield Check("GPU", "not here", "engines are compiled here, and run elsewhere", gives)
    elif machine.driver:
        yield Check("CUDA driver", "broken", "loads, but sees no GPU", gives, "nvidia-smi")
    else:
        yield Check("CUDA driver", "missing", "libcuda.so.1 does not load", gives, "sudo ubuntu-drivers install")


def _jetpack(machine: Machine) -> Check:
    release = machine.environment.jetpack
    if release is None:
        return Check("JetPack", "not here", "not a Jetson", "TensorRT on a Jetson")
    if "JetPack 5" in release:
        gives = "an export and lint target only: lossrt build prints the trtexec lines to run"
        return Check("JetPack", "ok", release, gives)
    return Check("JetPack", "ok", release, "TensorRT on a Jetson")


def _documents(machine: Machine) -> Check:
    absent = [name for name in _REPORTS if name not in machine.reports]
    gives = "report.html and its plots"
    if absent:
        return Check("documents", "missing", f"without {', '.join(absent)}", gives, f"pip install {' '.join(absent)}")
    return Check("documents", "ok", ", ".join(_REPORTS), gives)


def _package(packages: Mapping[str, str], package: str, name: str, gives: str, command: str) -> Check:
    if package in packages:
        return Check(name, "ok", packages[package], gives)
    return Check(name, "missing", "not installed", gives, command)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # the module is there in name only
        return False


def _driver_loads() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _vendors(pci: Path, wanted: str) -> Iterator[bool]:
    for path in pci.glob("*/vendor"):
        yield path.read_text(encoding="ascii", errors="replace").strip() == wanted
