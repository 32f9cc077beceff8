import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from lossrt.runtime.board import Board, find_board
from lossrt.runtime.environment import describe_environment, flat

ORIN = {
    "proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
    "sys/devices/system/cpu/cpufreq/policy0/affected_cpus": "0 1 2 3\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1510400\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "2201600\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpufreq/policy10/affected_cpus": "10 8\n",
    "sys/devices/system/cpu/cpufreq/policy10/scaling_cur_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy10/scaling_min_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy10/scaling_max_freq": "729600\n",
    "sys/devices/system/cpu/cpufreq/policy10/scaling_governor": "userspace\n",
    "sys/class/devfreq/15340000.vic/cur_freq": "115200000\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1300500000\n",
    "sys/class/devfreq/17000000.gpu/governor": "nvhost_podgov\n",
}
MAXN = "NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN\n0\n"


def system(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def absent(_command: object) -> str:
    raise FileNotFoundError("nvpmodel")


def test_a_jetson(tmp_path: Path) -> None:
    asked = []

    def ask(command):
        asked.append(list(command))
        return MAXN

    assert find_board(system(tmp_path, ORIN), ask=ask) == Board(
        model="NVIDIA Jetson AGX Orin Developer Kit",
        power_mode="MAXN (0)",
        cpu_clocks="cores 0-3: 1510 (730 to 2202, schedutil); cores 8, 10: 730 (730 to 730, userspace)",
        gpu_clocks="306 (306 to 1300, nvhost_podgov)",
    )
    assert asked == [["nvpmodel", "-q"]]


@pytest.mark.parametrize("name", ["17000000.ga10b", "17000000.gv11b", "17000000.gp10b"])
def test_gpus_of_older_releases(tmp_path: Path, name: str) -> None:
    files = {key.replace("17000000.gpu", name): text for key, text in ORIN.items()}
    assert find_board(system(tmp_path, files), ask=absent).gpu_clocks == "306 (306 to 1300, nvhost_podgov)"


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert find_board(tmp_path, ask=absent) == Board()


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(), PermissionError(), subprocess.TimeoutExpired("x", 5), subprocess.CalledProcessError(1, "x")],
)
def test_a_tool_that_fails(tmp_path: Path, error: Exception) -> None:
    def ask(_command: object) -> str:
        raise error

    assert find_board(tmp_path, ask=ask).power_mode is None


@pytest.mark.parametrize("text", ["", "NV Power Mode:\n", "ERROR: no such mode\n"], ids=["empty", "no-name", "error"])
def test_a_tool_that_answers_something_else(tmp_path: Path, text: str) -> None:
    assert find_board(tmp_path, ask=lambda _command: text).power_mode is None


@pytest.mark.parametrize("text", ["", "<unknown>\n", "-1\n"])
def test_a_clock_that_is_none(tmp_path: Path, text: str) -> None:
    files = {key: text if key.endswith("cur_freq") else value for key, value in ORIN.items()}
    board = find_board(system(tmp_path, files), ask=absent)
    assert (board.cpu_clocks, board.gpu_clocks) == (None, None)


def test_the_report_says_what_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossrt.runtime.environment.find_board", lambda: Board(power_mode="MAXN (0)"))
    values = flat(describe_environment())
    assert values["power_mode"] == "MAXN (0)"
    for name in ("device", "cpu_clocks_mhz", "gpu_clocks_mhz"):
        assert values[name] == "not available"
