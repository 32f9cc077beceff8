import re
from dataclasses import replace

import pytest

from lossrt.device.doctor import Machine, compiler_target, examine, look_around
from lossrt.runtime.environment import Environment
from lossrt.runtime.gpu import Gpu

BARE = Environment(
    python="3.11.9",
    system="Linux 6.1 x86_64",
    cpu="a processor",
    cores=2,
    packages={"numpy": "2.3"},
    providers=(),
    gpu=None,
    jetpack=None,
    machine="0" * 16,
)
PACKAGES = {"torch": "2.13.0", "onnxruntime": "1.32.0", "polygraphy": "0.53.6"}
LAPTOP = Machine(
    replace(BARE, packages=PACKAGES, providers=("CPUExecutionProvider",)),
    {"rtx": "1.7.1"},
    reports=("jinja2", "matplotlib"),
)
ADA = Gpu("RTX 4070", "8.9", "12.8")
ORIN = Gpu("Orin", "8.7", "12.6")


def checks(machine):
    return {check.name: check for check in examine(machine)}


def test_a_laptop_that_has_everything_it_can_have():
    found = checks(LAPTOP)
    assert {check.status for check in found.values()} == {"ok", "not here"}
    assert not any(check.next for check in found.values())
    assert found["ONNX Runtime"].found == "1.32.0: CPU"
    assert found["GPU"].status == "not here"


def test_a_bare_machine_is_told_a_command_for_each_thing_that_is_missing():
    found = checks(Machine(BARE))
    commands = {name: check.next for name, check in found.items() if check.status == "missing"}
    assert commands == {
        "PyTorch": "pip install torch==2.13.0 onnxscript jaxtyping",
        "ONNX Runtime": "pip install onnxruntime",
        "TensorRT for RTX": "pip install --upgrade tensorrt-rtx polygraphy",
        "polygraphy": "pip install polygraphy",
        "documents": "pip install jinja2 matplotlib",
    }


def test_the_pinned_pytorch_is_the_one_of_the_package(pytestconfig):
    text = (pytestconfig.rootpath / "pyproject.toml").read_text()
    [pinned] = re.findall(r'"(torch==[\d.]+)"', text)
    assert pinned in checks(Machine(BARE))["PyTorch"].next


@pytest.mark.parametrize(
    ("driver", "status", "command"),
    [(False, "missing", "sudo ubuntu-drivers install"), (True, "broken", "nvidia-smi")],
    ids=["no driver", "a driver that sees nothing"],
)
def test_a_gpu_that_does_not_answer(driver, status, command):
    found = checks(replace(LAPTOP, nvidia=True, driver=driver))
    assert (found["CUDA driver"].status, found["CUDA driver"].next) == (status, command)
    assert "GPU" not in found


def test_a_desktop_gpu_wants_the_cuda_half_of_onnx_runtime():
    machine = replace(LAPTOP, environment=replace(LAPTOP.environment, gpu=ADA), nvidia=True, driver=True)
    found = checks(machine)
    assert found["ONNX Runtime on CUDA"].next == "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
    assert found["TensorRT"].next == "pip install --upgrade tensorrt"
    assert found["GPU"].found == "RTX 4070, compute capability 8.9"
    both = ("CUDAExecutionProvider", "CPUExecutionProvider")
    cuda = replace(machine, environment=replace(machine.environment, providers=both))
    assert checks(cuda)["ONNX Runtime on CUDA"].status == "ok"


def test_a_jetson_gets_tensorrt_from_jetpack_and_no_pytorch():
    environment = replace(BARE, gpu=ORIN, jetpack="Jetson Linux 36.4.3 (JetPack 6)")
    found = checks(Machine(environment, processor="aarch64", nvidia=True, driver=True))
    assert found["TensorRT"].next.startswith("sudo apt-get install python3-libnvinfer")
    assert found["TensorRT for RTX"].status == "not here"
    assert found["PyTorch"].status == "not here"


def test_jetpack_5_is_an_export_target_only():
    environment = replace(BARE, gpu=ORIN, jetpack="Jetson Linux 35.5.0 (JetPack 5)")
    assert "trtexec" in checks(Machine(environment, processor="aarch64"))["JetPack"].gives


def test_a_compiler_that_does_not_import_is_broken_with_the_reason():
    found = checks(replace(LAPTOP, compilers={}, broken={"rtx": "libcudart.so: cannot open"}))
    check = found["TensorRT for RTX"]
    assert (check.status, check.found) == ("broken", "libcudart.so: cannot open")
    assert check.next.startswith("pip install --upgrade tensorrt-rtx")


@pytest.mark.parametrize(
    ("version", "target"),
    [
        ("8.5.2", "jetpack5"),
        ("8.6.1", "trt8.6"),
        ("10.0.1", "trt10.3"),
        ("10.3.0", "trt10.3"),
        ("10.12", "trt10.3"),
        ("10.13.0.35", "trt10.13"),
        ("11.4.0.106", "trt11"),
        ("12", "trt11"),
    ],
)
def test_the_rules_that_hold_for_an_installed_tensorrt(version, target):
    from lossrt.validators.lint.ruleset import find_targets, load_rules

    assert compiler_target("tensorrt", version) == target
    assert find_targets((target,), load_rules())
    assert compiler_target("rtx", version) == "rtx"


@pytest.mark.parametrize(("vendor", "nvidia"), [("0x10de", True), ("0x8086", False)], ids=["nvidia", "intel"])
def test_the_pci_bus_is_read(tmp_path, vendor, nvidia):
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "vendor").write_text(f"{vendor}\n")
    machine = look_around(tmp_path)
    assert machine.nvidia is (nvidia or machine.environment.jetpack is not None)
    assert machine.environment.packages["numpy"]
