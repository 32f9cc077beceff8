"""The board under a measurement: its name, its power mode and its clocks, which decide how long anything takes.

Read from the kernel's files and from `nvpmodel`, as NVIDIA's Jetson Linux Developer Guide describes them ("Power
Management"); what the system does not offer is None.
"""

__all__ = ["Board", "find_board"]

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Ask = Callable[[Sequence[str]], str]
_DEVFREQ_OF_GPUS = re.compile(r"\.(gpu|ga10b|gv11b|gp10b|gb10b)$")


@dataclass(frozen=True, slots=True)
class Board:
    """What a board says about itself.

    Attributes:
        model: For example `NVIDIA Jetson AGX Orin Developer Kit`.
        power_mode: nvpmodel's name for it and its number, for example `MAXN (0)`.
        cpu_clocks: Clocks of each group of cores in MHz, with their limits and what sets them, for example
            `cores 0-3: 1510 (729 to 2202, schedutil)`.
        gpu_clocks: The same of a Jetson's GPU.
    """

    model: str | None = None
    power_mode: str | None = None
    cpu_clocks: str | None = None
    gpu_clocks: str | None = None


def find_board(root: Path = Path("/"), *, ask: Ask | None = None) -> Board:
    """Look at this board.

    Args:
        root: Where the system's files lie.
        ask: Runs a command and returns what it prints; raises OSError or subprocess.SubprocessError where it cannot.
    """
    return Board(
        model=_text(root / "proc/device-tree/model"),
        power_mode=_power_mode(ask or _output_of),
        cpu_clocks=_cpu_clocks(root / "sys/devices/system/cpu/cpufreq"),
        gpu_clocks=_gpu_clocks(root / "sys/class/devfreq"),
    )


def _output_of(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
    return done.stdout


def _power_mode(ask: Ask) -> str | None:
    try:
        text = ask(["nvpmodel", "-q"])
    except (OSError, subprocess.SubprocessError):
        return None
    # The name, and on the next line its number: "NV Power Mode: MAXN", "0".
    match = re.search(r"NV Power Mode:\s*(\S+)\s*\n\s*(\d+)", text)
    return f"{match[1]} ({match[2]})" if match else None


def _cpu_clocks(folder: Path) -> str | None:
    groups = []
    for policy in sorted(folder.glob("policy*"), key=lambda path: (len(path.name), path.name)):
        clock, low, high = (_megahertz(policy / f"scaling_{what}_freq", 1000) for what in ("cur", "min", "max"))
        cores = _spans((_text(policy / "affected_cpus") or "").split())
        if clock is not None and cores:
            groups.append(f"cores {cores}: {clock} ({low} to {high}, {_text(policy / 'scaling_governor')})")
    return "; ".join(groups) or None


def _gpu_clocks(folder: Path) -> str | None:
    for device in sorted(folder.glob("*")):
        clock, low, high = (_megahertz(device / f"{what}_freq", 1_000_000) for what in ("cur", "min", "max"))
        if _DEVFREQ_OF_GPUS.search(device.name) and clock is not None:
            return f"{clock} ({low} to {high}, {_text(device / 'governor')})"
    return None


def _spans(cores: Sequence[str]) -> str:
    """Write `0 1 2 3 6` as `0-3, 6`."""
    spans: list[list[int]] = []
    for core in sorted(int(core) for core in cores if core.isdigit()):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _megahertz(path: Path, unit: int) -> int | None:
    text = _text(path)
    return round(int(text) / unit) if text and text.isdigit() else None


def _text(path: Path) -> str | None:
    """Return a kernel file's text; None where it is missing, unreadable or empty."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip(" \n\t\0") or None
    except OSError:
        return None
