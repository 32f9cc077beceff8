"""How much memory something needs at its peak: of this process as Linux counts it, and of the GPU as NVML does."""

__all__ = ["PeakMemory", "peak_of"]

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Made = TypeVar("Made")
Importer = Callable[[str], Any]
PROCESS = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """What something added to the memory in use.

    Attributes:
        host_bytes: At its peak, above what the process used before; None where the system does not tell.
        gpu_bytes: On the GPU after it, above what was used before, a CUDA context that it made included; None without
            NVML, as on a Jetson, whose GPU uses the host's memory.
    """

    host_bytes: int | None
    gpu_bytes: int | None


def peak_of(
    make: Callable[[], Made], *, process: Path = PROCESS, modules: Importer = importlib.import_module
) -> tuple[Made, PeakMemory]:
    """Call `make` and return what it gives, with the memory that it added at its peak.

    Args:
        make: What is measured.
        process: The process's own folder in Linux's `/proc`.
        modules: Imports a module by name.
    """
    gpu_before = _gpu_used(modules)
    before = _reset(process)
    made = make()
    peak = _status(process, "VmHWM")
    gpu_after = _gpu_used(modules)
    host = None if before is None or peak is None else max(peak - before, 0)
    gpu = None if gpu_before is None or gpu_after is None else max(gpu_after - gpu_before, 0)
    return made, PeakMemory(host, gpu)


def _reset(process: Path) -> int | None:
    """Start the process's peak anew and return what it uses now; None where Linux's counter cannot be had."""
    try:
        (process / "clear_refs").write_text("5")  # proc(5): resets the peak resident set size
    except OSError:
        return None
    return _status(process, "VmRSS")


def _status(process: Path, key: str) -> int | None:
    try:
        match = re.search(rf"^{key}:\s+(\d+) kB", (process / "status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if match is None else int(match[1]) * 1024


def _gpu_used(modules: Importer) -> int | None:
    try:
        nvml = modules("pynvml")
        nvml.nvmlInit()
        return int(nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(0)).used)
    except Exception:  # not installed, no driver, or a GPU that does not tell: NVML's errors share no base of ours
        return None
