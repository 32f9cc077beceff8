"""Meters with modules of the test's own: no machine that this runs on has both."""

from types import SimpleNamespace

import pytest

from lossrt.device.energy import energy_per_call, find_meter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def importer(**modules: object):
    def find(name: str) -> object:
        if name not in modules:
            raise ImportError(f"No module named '{name}'")
        return modules[name]

    return find


class FakeJtop:
    """Tells the power every `interval` seconds of the clock, once attached."""

    def __init__(self, clock: Clock, milliwatts: list[int]) -> None:
        self.clock, self.milliwatts, self.told = clock, milliwatts, None

    def jtop(self, interval: float) -> "FakeJtop":
        assert 0 < interval <= 1
        return self

    def __enter__(self) -> "FakeJtop":
        return self

    def __exit__(self, *_args: object) -> None:
        self.told = None

    @property
    def power(self) -> dict:
        return {"rail": {}, "tot": {"power": self.milliwatts[0], "avg": 0}}

    def attach(self, tell) -> None:
        self.told = tell

    def second(self) -> None:
        self.clock.now += 1
        if self.told is not None:
            self.told(self)
            self.milliwatts.append(self.milliwatts.pop(0))


def test_a_jetsons_energy_is_power_times_time() -> None:
    clock = Clock()
    jtop = FakeJtop(clock, [5000, 7000])
    meter, reason = find_meter(modules=importer(jtop=jtop), clock=clock)
    assert meter is not None
    assert reason == ""
    assert meter.devices == ("cpu", "cuda")
    # Four calls of one second at 5, 7, 5 and 7 W: 24 J, 6 a call.
    assert energy_per_call(meter, jtop.second, seconds=4, clock=clock) == pytest.approx(6.0)


def test_without_a_sample_there_is_no_number() -> None:
    clock = Clock()
    jtop = FakeJtop(clock, [5000])
    meter, _ = find_meter(modules=importer(jtop=jtop), clock=clock)
    assert meter is not None

    def pass_time() -> None:
        clock.now += 1

    assert energy_per_call(meter, pass_time, seconds=2, clock=clock) is None


def nvml_of(clock: Clock, *, watts: float = 50.0, broken: bool = False) -> SimpleNamespace:
    def energy(handle: int) -> int:
        if broken:
            raise RuntimeError("Not Supported")
        return int(clock.now * watts * 1e3)

    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=energy,
    )


def test_a_gpus_counter_counts_for_work_on_the_gpu() -> None:
    clock = Clock()
    meter, _ = find_meter(modules=importer(pynvml=nvml_of(clock)), clock=clock)
    assert meter is not None
    assert meter.devices == ("cuda",)

    def call() -> None:
        clock.now += 0.5

    assert energy_per_call(meter, call, seconds=10, clock=clock) == pytest.approx(25.0)


def test_one_call_is_made_however_short_the_time() -> None:
    clock = Clock()
    meter, _ = find_meter(modules=importer(pynvml=nvml_of(clock)), clock=clock)
    assert meter is not None

    def call() -> None:
        clock.now += 3

    assert energy_per_call(meter, call, seconds=1, clock=clock) == pytest.approx(150.0)


def test_no_meter_says_why() -> None:
    meter, reason = find_meter(modules=importer(pynvml=nvml_of(Clock(), broken=True)))
    assert meter is None
    assert reason == "jtop: No module named 'jtop'; NVML: Not Supported"
