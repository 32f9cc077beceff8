import dataclasses
import json
import os
import subprocess
import sys

import pytest

from lossrt.runtime.environment import describe_environment, flat, jetpack_release, machine_id


def test_the_report_names_what_runs_here():
    environment = describe_environment()
    assert environment.python == ".".join(str(part) for part in sys.version_info[:3])
    assert environment.packages["numpy"]
    assert environment.cores >= 1
    assert environment.machine == machine_id()
    assert json.loads(json.dumps(dataclasses.asdict(environment)))["system"].startswith(os.uname().sysname)


def test_the_report_gets_one_level_of_plain_values():
    environment = describe_environment()
    values = flat(environment)
    assert values["numpy"] == environment.packages["numpy"]
    assert values["gpu"] == (environment.gpu.name if environment.gpu else None)
    assert values["jetpack"] == (environment.jetpack or "not available")
    assert all(value is None or isinstance(value, (str, int, bool)) for value in values.values())


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic", "Jetson Linux 36.4.3 (JetPack 6)"),
        ("# R35 (release), REVISION: 5.0, GCID: 1", "Jetson Linux 35.5.0 (JetPack 5)"),
        ("# R99 (release), REVISION: 1.0, GCID: 1", "Jetson Linux 99.1.0"),
        ("something else", "Jetson Linux, release unknown"),
    ],
    ids=["6", "5", "later", "unreadable"],
)
def test_jetpack_is_read_off_its_release_file(tmp_path, line, release):
    (tmp_path / "release").write_text(f"{line}\n")
    assert jetpack_release(tmp_path / "release") == release


def test_no_jetpack_elsewhere(tmp_path):
    assert jetpack_release(tmp_path / "absent") is None


def test_machine_id_is_stable_and_gives_nothing_away():
    assert machine_id() == machine_id()
    assert len(machine_id()) == 16
    int(machine_id(), 16)


def test_importing_the_runtimes_imports_no_runtime():
    modules = "adapter board build_log compiler engine_record engines environment gpu job libraries onnx_model ort ort_nodes profiles session trt worker"
    heavy = "onnxruntime tensorrt tensorrt_rtx polygraphy torch"
    code = (
        "import importlib, sys\n"
        f"for name in '{modules}'.split(): importlib.import_module(f'lossrt.runtime.{{name}}')\n"
        f"sys.exit(str(set('{heavy}'.split()) & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
