"""Try the device half where it will live: installed from the wheel, in clean environments, without PyTorch."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.device_side.environments import (
    EXTRAS,
    ROOT,
    TORCH_SIDE,
    Environment,
    build_wheel,
    interpreters,
    make_environment,
    run,
    with_numpy,
)
from tests.device_side.materials import Materials, make_materials
from tests.device_side.resolution import Resolution, resolve
from tests.device_side.steps import STEPS
from tests.test_layers import IMPORT_ALL

JETPACK_6 = ("3.10", "1.26.*")
"""Its Python, and the numpy that its system packages were built for."""

REAL = ROOT.parent / "shared" / "data" / "MOT17-02-FRCNN"
CONSTRAINTS = ROOT / "constraints.txt"


def main() -> int:
    """Try every environment; return 1 where anything failed."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lossrt-device-") as name, ThreadPoolExecutor(1) as pool:
        folder = Path(name)
        wheel = build_wheel(folder)
        print(f"wheel: {wheel.stat().st_size:,} bytes", flush=True)
        made = make_materials(folder)
        pythons, absent = interpreters()
        failed = 0
        for problem in _environments(folder, wheel, made, pythons, pool):
            failed += 1
            print(f"FAILED {problem}", flush=True)
        for line in absent:
            print(f"skipped {line}")
    print(f"{failed} failed, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


def _environments(
    folder: Path, wheel: Path, made: Materials, pythons: dict[str, str], pool: ThreadPoolExecutor
) -> Iterator[str]:
    """Try each Python and, while the machine computes, what an aarch64 device with it would install."""

    def installed(version: str) -> Environment:
        return make_environment(
            pythons[version], wheel, folder / f"venv{version}", name=version, constraints=CONSTRAINTS
        )

    versions = sorted(pythons, key=lambda version: int(version.partition(".")[2]))
    # The next one is installed while one is tried.
    environments = {version: pool.submit(installed, version) for version in versions}
    waiting: dict[str, Future[Resolution]] = {}
    for version in versions:
        environment = environments[version].result()
        waiting[version] = pool.submit(resolve, environment, wheel, extras=EXTRAS, constraints=CONSTRAINTS)
        yield from _tried(environment, folder / f"out{version}", made, label=f"Python {environment.version}")
        if version == JETPACK_6[0]:
            numpy = with_numpy(environment, JETPACK_6[1])
            label = f"Python {environment.version}, numpy {numpy}"
            yield from _tried(environment, folder / f"out{version}-jetpack6", made, label=label)
    for version, future in waiting.items():
        found = future.result()
        what = f"Python {version} on aarch64"
        if found.skipped:
            print(f"skipped {what}: {found.skipped}")
        elif found.failure:
            yield f"{what}: {found.failure}"
        else:
            print(f"{what}: {len(found.wheels)} wheels exist, {found.megabytes:.0f} MB")
    if JETPACK_6[0] not in pythons:
        print(f"skipped Python {JETPACK_6[0]} on aarch64: no such Python here to ask for it")


def _tried(environment: Environment, out: Path, made: Materials, *, label: str) -> Iterator[str]:
    """Run every step in an environment; yield what failed."""
    begun, count = time.monotonic(), 0
    out.mkdir()
    yield from (f"{label}: {problem}" for problem in _imports(environment))
    places = {
        "bundle": str(made.bundle.root),
        "packed": str(made.packed),
        "id": made.bundle.bundle_id,
        "network": str(made.network),
        "deformable": str(made.deformable),
        "sequence": str(made.sequence),
        "real": str(REAL),
        "scripts": str(Path(__file__).parent),
        "out": str(out),
    }
    for step in STEPS:
        if "{real}" in step.line and not REAL.is_dir():
            print(f"skipped {step.line}: no real frames here")
            continue
        words = step.words(places)
        done = run([environment.program(step.program), *words], cwd=out, timeout_s=300)
        text, count = done.stdout + done.stderr, count + 1
        if done.returncode != step.code or step.says.format_map(places) not in text:
            yield f"{label}: {step.program} {' '.join(words)}: exit code {done.returncode}, expected {step.code}\n{text[-2500:]}"
    print(f"{label}: {count} commands, {time.monotonic() - begun:.0f} s", flush=True)


def _imports(environment: Environment) -> Iterator[str]:
    """Yield what is importable and should not be, and modules of ours that are not and should be."""
    python = environment.program("python")
    for module in TORCH_SIDE:
        if run([python, "-c", f"import {module}"]).returncode == 0:
            yield f"{module} is importable: the environment is not clean"
    done = run([python, "-W", "error", "-c", IMPORT_ALL, "none"])
    if done.returncode or str(environment.folder) not in run([python, "-c", "import lossrt; print(lossrt)"]).stdout:
        yield f"the torch-free half does not import: {done.stderr[-2000:]}"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
