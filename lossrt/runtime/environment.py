"""What is installed on this machine, for the report: read, never guessed."""

__all__ = ["Environment", "available_cores", "describe_environment", "flat", "jetpack_release", "machine_id"]

import hashlib
import importlib
import importlib.metadata
import os
import platform
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from lossrt.runtime.board import Board, find_board
from lossrt.runtime.gpu import Gpu, find_gpu

PACKAGES = (
    "lossrt",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "polygraphy",
    "tensorrt",
    "tensorrt_rtx",
    "torch",
)
UNKNOWN = "not available"
"""What a report has in the place of what this machine does not tell."""

# Major release of Jetson Linux to that of JetPack.
_JETPACKS = {"34": "5", "35": "5", "36": "6", "38": "7"}


@dataclass(frozen=True, slots=True)
class Environment:
    """The machine and its software.

    Attributes:
        python: Python's version.
        system: Operating system, release and processor family.
        cpu: Name of the processor.
        cores: Cores that this process may use.
        packages: Version by package; only what is installed.
        providers: ONNX Runtime's execution providers; empty without ONNX Runtime.
        gpu: The first GPU; None without one.
        jetpack: Jetson Linux release and JetPack; None elsewhere.
        machine: Identifier of this machine (`machine_id`).
        board: Its name, power mode and clocks, as far as it tells.
    """

    python: str
    system: str
    cpu: str
    cores: int
    packages: dict[str, str]
    providers: tuple[str, ...]
    gpu: Gpu | None
    jetpack: str | None
    machine: str
    board: Board = field(default_factory=Board)


def describe_environment() -> Environment:
    """Look at this machine. Imports ONNX Runtime where it is installed; nothing else."""
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu_name(),
        cores=available_cores(),
        packages={name: version for name in PACKAGES if (version := _version(name)) is not None},
        providers=_providers(),
        gpu=find_gpu(),
        jetpack=jetpack_release(),
        machine=machine_id(),
        board=find_board(),
    )


def flat(environment: Environment) -> dict[str, str | int | bool | None]:
    """Return the environment as one level of names and values, as report.json has it."""
    gpu, board = environment.gpu, environment.board
    return {
        "python": environment.python,
        "system": environment.system,
        "cpu": environment.cpu,
        "cores": environment.cores,
        **environment.packages,
        "providers": ", ".join(environment.providers),
        "gpu": gpu.name if gpu else None,
        "compute_capability": gpu.compute_capability if gpu else None,
        "cuda_driver": gpu.cuda if gpu else None,
        "jetpack": environment.jetpack or UNKNOWN,
        "device": board.model or UNKNOWN,
        "power_mode": board.power_mode or UNKNOWN,
        "cpu_clocks_mhz": board.cpu_clocks or UNKNOWN,
        "gpu_clocks_mhz": board.gpu_clocks or UNKNOWN,
        "tf32": False,
        "machine": environment.machine,
    }


def jetpack_release(path: Path = Path("/etc/nv_tegra_release")) -> str | None:
    """Return the Jetson Linux release, for example `Jetson Linux 36.4.3 (JetPack 6)`; None where `path` is missing.

    Args:
        path: Its first line reads like `# R36 (release), REVISION: 4.3, ...`.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    if match is None:
        return "Jetson Linux, release unknown"
    release = f"Jetson Linux {match[1]}.{match[2]}"
    return f"{release} (JetPack {_JETPACKS[match[1]]})" if match[1] in _JETPACKS else release


def machine_id() -> str:
    """Return an identifier of this machine: a digest, so that a report does not give away the machine's own id."""
    try:
        seed = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        seed = ""
    seed = seed or f"{platform.node()} {uuid.getnode():012x}"
    return hashlib.sha256(f"lossrt {seed}".encode()).hexdigest()[:16]


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    # x86 writes `model name`; Jetson's kernels write `Model` or `Hardware`, if anything.
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _providers() -> tuple[str, ...]:
    try:
        return tuple(importlib.import_module("onnxruntime").get_available_providers())
    except ImportError:
        return ()
