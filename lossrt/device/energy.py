"""What an evaluation takes from the board in joules: a Jetson's power rails through jtop, other GPUs through NVML."""

__all__ = ["EnergyMeter", "energy_per_call", "find_meter"]

import importlib
import time
from collections.abc import Callable
from typing import Any, Protocol

Importer = Callable[[str], Any]
SAMPLE_S = 0.1  # jtop's interval


class EnergyMeter(Protocol):
    """Measures the energy that is taken while something runs, what the device takes when idle included.

    Attributes:
        name: What measures, and what of the machine.
        devices: Where work must run for this meter to see it: `cpu`, `cuda`.
    """

    name: str
    devices: tuple[str, ...]

    def measure(self, run: Callable[[], None]) -> float | None:
        """Return the joules taken while `run` runs; None where no sample came."""
        ...


class _Jtop:
    """The whole module's power, sampled by jetson-stats' service."""

    name = "jtop, the whole module"
    devices: tuple[str, ...] = ("cpu", "cuda")

    def __init__(self, jtop: Any, *, clock: Callable[[], float]) -> None:
        self._jtop, self._clock = jtop, clock

    def measure(self, run: Callable[[], None]) -> float | None:
        watts: list[float] = []
        with self._jtop.jtop(interval=SAMPLE_S) as jetson:
            jetson.attach(lambda stats: watts.append(_total_watts(stats.power)))
            start = self._clock()
            run()
            seconds = self._clock() - start
        return sum(watts) / len(watts) * seconds if watts else None


class _Nvml:
    """The first GPU's own counter of energy."""

    name = "NVML, the GPU"
    devices: tuple[str, ...] = ("cuda",)

    def __init__(self, nvml: Any) -> None:
        nvml.nvmlInit()
        self._nvml, self._handle = nvml, nvml.nvmlDeviceGetHandleByIndex(0)
        self._millijoules()

    def _millijoules(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def measure(self, run: Callable[[], None]) -> float | None:
        before = self._millijoules()
        run()
        return (self._millijoules() - before) / 1e3


def find_meter(
    *, modules: Importer = importlib.import_module, clock: Callable[[], float] = time.perf_counter
) -> tuple[EnergyMeter | None, str]:
    """Return this machine's energy meter, or None, and why there is none.

    Args:
        modules: Imports a module by name.
        clock: Seconds.
    """
    reasons = []
    try:
        jtop = modules("jtop")
        with jtop.jtop(interval=SAMPLE_S) as jetson:
            _total_watts(jetson.power)
        return _Jtop(jtop, clock=clock), ""
    except Exception as error:  # not installed, no service, or no power rails: its errors share no base of ours
        reasons.append(f"jtop: {_short(error)}")
    try:
        return _Nvml(modules("pynvml")), ""
    except Exception as error:
        reasons.append(f"NVML: {_short(error)}")
    return None, "; ".join(reasons)


def energy_per_call(
    meter: EnergyMeter,
    call: Callable[[], object],
    *,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float | None:
    """Return the joules that one call takes: the meter's, over as many calls as `seconds` hold.

    Args:
        meter: The meter.
        call: What is measured.
        seconds: How long to repeat it; meters refresh some ten times a second.
        clock: Seconds.
    """
    count = 0

    def repeat() -> None:
        nonlocal count
        end = clock() + seconds
        while count == 0 or clock() < end:
            call()
            count += 1

    joules = meter.measure(repeat)
    return None if joules is None else joules / count


def _total_watts(power: Any) -> float:
    """Read what jtop 4 gives: {"tot": {"power": mW}}."""
    return float(power["tot"]["power"]) / 1e3


def _short(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
