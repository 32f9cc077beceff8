"""Whether everything that a Jetson installs exists as a wheel for it. Asks the package index."""

__all__ = ["Resolution", "resolve"]

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.device_side.environments import Environment, run

MACHINE = "aarch64"
GLIBC = 28
# What pip prints where no index answers.
_OFFLINE = ("name resolution", "Failed to establish", "ConnectTimeout", "ProxyError", "Network is unreachable")


@dataclass(frozen=True, slots=True)
class Resolution:
    """What came of it.

    Attributes:
        wheels: File names of the wheels; empty where it failed.
        megabytes: Their size together, in 10^6 bytes.
        failure: What pip said; empty where all was found.
        skipped: Why it could not be tried; empty where it was.
    """

    wheels: tuple[str, ...] = ()
    megabytes: float = 0.0
    failure: str = ""
    skipped: str = ""


def resolve(environment: Environment, wheel: Path, *, extras: str, constraints: Path) -> Resolution:
    """Fetch the wheels of base and extras for an aarch64 machine with the environment's Python.

    pip evaluates markers such as `python_version < '3.11'` for the Python that it runs in, hence the environment.
    """
    # A machine that takes manylinux_2_28 takes all before it, which pip has to be told.
    tags = [f"manylinux_2_{minor}_{MACHINE}" for minor in range(GLIBC, 16, -1)] + [f"manylinux2014_{MACHINE}"]
    with tempfile.TemporaryDirectory() as place:
        done = run(
            [
                *(environment.program("python"), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--only-binary=:all:", "--python-version", environment.name, "--dest", place),
                *(f"--platform={tag}" for tag in tags),
                *("--constraint", str(constraints), f"{wheel}[{extras}]"),
            ]
        )
        if done.returncode:
            offline = next((word for word in _OFFLINE if word in done.stderr), "")
            if offline:
                return Resolution(skipped=f"no package index can be reached ({offline})")
            return Resolution(failure=done.stderr[-3000:])
        files = sorted(Path(place).iterdir())
        foreign = [file.name for file in files if not file.name.endswith((f"{MACHINE}.whl", "-any.whl"))]
        return Resolution(
            tuple(file.name for file in files),
            sum(file.stat().st_size for file in files) / 1e6,
            failure=f"not for {MACHINE}: {', '.join(foreign)}" if foreign else "",
        )
