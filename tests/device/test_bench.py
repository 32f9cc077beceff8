import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lossrt.bundle import Bundle
from lossrt.device import bench as bench_module
from lossrt.device.bench import BenchRow, bench
from lossrt.device.bench_contenders import bundle_contenders, floor_contenders, nominal_case
from lossrt.device.bench_cores import pin
from lossrt.device.bench_floor import bytes_read, host_copy
from lossrt.device.bench_memory import peak_of
from lossrt.device.bench_plot import bench_plot
from lossrt.errors import InputError
from tests.device.bundles import l1_bundle


class Clock:
    """Time that passes only where a contender says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def call(self, *seconds: float):
        left = list(seconds)

        def run() -> None:
            self.now += left.pop(0)

        return run


def test_rows_are_the_quantiles_of_the_rounds_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(bench_module, "time", clock)
    steps: list[tuple[str, int, int]] = []
    calls = {"a": clock.call(9, 1, 2, 3, 4, 5), "b": clock.call(9, 2, 4, 6, 8, 20)}
    first, second = bench(calls, baseline="a", iterations=5, warm_up=1, progress=lambda *step: steps.append(step))
    assert (first.median_ms, first.spread_ms, first.ratio) == (3000, 2000, 1)
    assert first.p90_ms == pytest.approx(4600)
    assert first.p99_ms == pytest.approx(4960)
    assert first.per_s == pytest.approx(1 / 3)
    assert (second.median_ms, second.spread_ms, second.ratio) == (6000, 4000, 2)
    assert steps[0] == ("warm-up", 0, 6)
    assert steps[-1] == ("timing", 5, 6)


@pytest.mark.parametrize("changes", [{"iterations": 0}, {"warm_up": -1}, {"baseline": "b"}], ids=str)
def test_what_cannot_be_timed(changes: dict) -> None:
    with pytest.raises(InputError, match="bench: expected"):
        bench({"a": lambda: None}, **{"baseline": "a", **changes})


def test_the_peak_is_seen_after_it_is_over() -> None:
    def touch() -> str:
        np.ones(50_000_000, np.uint8).sum()
        return "made"

    made, memory = peak_of(touch)
    assert made == "made"
    if memory.host_bytes is None:
        pytest.skip("this system does not tell a process's peak")
    assert 48e6 < memory.host_bytes < 80e6
    # The peak starts anew: what came before does not count.
    assert (peak_of(lambda: None)[1].host_bytes or 0) < 5e6


def test_memory_that_nobody_tells(tmp_path: Path) -> None:
    def no_module(name: str) -> object:
        raise ImportError(name)

    _, memory = peak_of(lambda: None, process=tmp_path / "none", modules=no_module)
    assert (memory.host_bytes, memory.gpu_bytes) == (None, None)


def test_the_gpus_memory_is_what_was_added() -> None:
    used = iter([1000, 5000])
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=next(used)),
    )
    assert peak_of(lambda: None, modules=lambda name: nvml)[1].gpu_bytes == 4000


def test_the_bytes_that_must_be_read(small_bundle: Bundle) -> None:
    """34x60 map, 3 images, 32 slots: two maps of the heatmap, 10 gathered channels, and the targets."""
    case = nominal_case(small_bundle, "generic_loss", "fp32")
    recipe, spec = small_bundle.manifest.recipe, small_bundle.entry("generic_loss").spec
    maps = 2 * 3 * 34 * 60 * 4
    gathered = 3 * 32 * (2 + 2 + 2 + 4) * 4
    targets = 3 * 32 * (8 + 8 + 4) + 2 * gathered  # ind and cat int64, mask, then values and masks of the heads
    assert bytes_read(spec, recipe, case.input) == maps + gathered + targets
    assert bytes_read(spec, None, case.input) == sum(array.nbytes for array in case.input.values())


def test_the_copy_takes_longer_for_more() -> None:
    def seconds(size: int) -> float:
        copy = host_copy(size)
        copy()
        start = time.perf_counter()
        for _ in range(5):
            copy()
        return time.perf_counter() - start

    assert min(seconds(64_000_000) for _ in range(3)) > 4 * min(seconds(1_000_000) for _ in range(3))


def test_a_bundles_contenders(small_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossrt.device.bench_contenders.gpu_present", lambda: False)
    case = nominal_case(small_bundle, "generic_loss", "fp32")
    found, left_out = bundle_contenders(small_bundle, "generic_loss", {"fp32": case}, threads=1)
    assert [contender.name for contender in found] == ["lossrt, ort", "upstream exported, ort"]
    assert set(left_out) == {"lossrt, ort-cuda", "lossrt, ort-tensorrt", "lossrt, tensorrt", "lossrt, rtx"}
    floors, size = floor_contenders(small_bundle, "generic_loss", case.input, found)
    assert [floor.name for floor in floors] == ["floor"]
    assert size > 0
    calls = {contender.name: contender.call for contender in (*found, *floors)}
    rows = bench(calls, baseline="lossrt, ort", iterations=3, warm_up=0)
    assert all(row.median_ms > 0 for row in rows)


def test_a_graph_without_a_case(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"graph 'l1.fp32': expected a golden case"):
        nominal_case(l1_bundle(tmp_path / "own"), "l1", "fp32")
    with pytest.raises(InputError, match=r"--precision bf16: expected one of this bundle \(fp32\)"):
        nominal_case(l1_bundle(tmp_path / "own"), "l1", "bf16")


@pytest.fixture
def cores() -> object:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system binds no process to cores")
    before = os.sched_getaffinity(0)
    yield before
    os.sched_setaffinity(0, before)


def test_pin(cores: set[int]) -> None:
    first = min(cores)
    assert pin(f"{first}, {first}") == (first,)
    assert os.sched_getaffinity(0) == {first}


@pytest.mark.parametrize("text", ["a", "", "0,", "-1", "99999"])
def test_cores_that_are_not_there(cores: set[int], text: str) -> None:
    with pytest.raises(InputError, match=f"--pin {text}: expected"):
        pin(text)
    assert os.sched_getaffinity(0) == cores


def test_the_plot_names_every_contender_and_is_the_same_twice() -> None:
    pytest.importorskip("matplotlib", reason="plots need the report extra")
    rows = [BenchRow(name, 1.0 + place, 2, 3, 0.1, 500, 1) for place, name in enumerate(["ours", "theirs"])]
    drawn = bench_plot(rows, title="generic_loss, B 3")
    assert drawn == bench_plot(rows, title="generic_loss, B 3")
    text = drawn.decode()
    assert all(word in text for word in ("<svg", "ours", "theirs", "generic_loss, B 3", "1 ms", "2 ms"))
