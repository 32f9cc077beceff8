"""Clean environments from the wheel, with one Python each and without PyTorch."""

__all__ = ["TORCH_SIDE", "Environment", "build_wheel", "interpreters", "make_environment", "run", "with_numpy"]

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH_SIDE = ("torch", "onnxscript", "jaxtyping")
WHEEL_LIMIT = 1 << 20
EXTRAS = "device,metrics"
WANTED = ("3.10", "3.12")


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment.

    Attributes:
        name: Such as `3.10`.
        folder: Where it lies.
        version: Python's full version.
    """

    name: str
    folder: Path
    version: str

    def program(self, name: str) -> str:
        """Return the path of one of its programs."""
        return str(self.folder / "bin" / name)


def interpreters() -> tuple[dict[str, str], list[str]]:
    """Return interpreters by version, the one at work included, and why others are left out.

    DEVICE_PYTHONS names interpreters, separated by spaces; without it, Python 3.10 and 3.12 are looked for.
    """
    named = os.environ.get("DEVICE_PYTHONS", "").split()
    found, absent = {}, []
    for wanted in named or [f"python{version}" for version in WANTED]:
        path, version = next(((path, version) for path in _places(wanted) if (version := _version(path))), ("", ""))
        if path and (named or wanted == f"python{version}"):
            found[version] = path
        else:
            absent.append(f"{wanted}: not found here; set DEVICE_PYTHONS to the interpreters to try")
    found.setdefault("{}.{}".format(*sys.version_info), sys.executable)
    return found, absent


def _places(name: str) -> list[str]:
    """Return where an interpreter may be: as it is called, or among pyenv's, which hides those that are not chosen."""
    places = [shutil.which(name) or ""]
    if pyenv := shutil.which("pyenv"):
        versions = run([pyenv, "versions", "--bare"]).stdout.split()
        wanted = name.removeprefix("python")
        prefixes = [
            run([pyenv, "prefix", version]).stdout.strip() for version in versions if version.startswith(wanted)
        ]
        places += [f"{prefix}/bin/python" for prefix in prefixes]
    return [place for place in places if place]


def _version(python: str) -> str:
    done = run([python, "-c", "import sys, venv; print('{}.{}'.format(*sys.version_info))"])
    return done.stdout.strip() if done.returncode == 0 else ""


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of the sources, so that nothing that an older build left behind gets into it."""
    source = folder / "source"
    source.mkdir()
    shutil.copytree(ROOT / "lossrt", source / "lossrt", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    checked(run([*pip, "--wheel-dir", str(folder), str(source)]))
    [wheel] = folder.glob("lossrt-*.whl")
    size = wheel.stat().st_size
    if size > WHEEL_LIMIT:
        raise SystemExit(f"wheel: expected at most {WHEEL_LIMIT:,} bytes, got {size:,}; what was packed by mistake?")
    return wheel


def make_environment(python: str, wheel: Path, folder: Path, *, name: str, constraints: Path) -> Environment:
    """Install the wheel and what it needs on a device into a new environment."""
    checked(run([python, "-m", "venv", str(folder)]))
    version = run([str(folder / "bin" / "python"), "-c", "import platform; print(platform.python_version())"])
    made = Environment(name, folder, version.stdout.strip())
    checked(_install(made, "--constraint", str(constraints), f"{wheel}[{EXTRAS}]"))
    return made


def with_numpy(environment: Environment, version: str) -> str:
    """Put another numpy into an environment; return its version, or raise where a package objects."""
    checked(_install(environment, f"numpy=={version}"))
    checked(run([environment.program("python"), "-m", "pip", "check"]))
    return run([environment.program("python"), "-c", "import numpy; print(numpy.__version__)"]).stdout.strip()


def _install(environment: Environment, *words: str) -> "subprocess.CompletedProcess[str]":
    pip = [environment.program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return run([*pip, "--only-binary=:all:", *words])


def run(command: list[str], *, cwd: Path | None = None, timeout_s: float = 600) -> "subprocess.CompletedProcess[str]":
    """Run a command apart from this environment: nothing of the checkout can be imported."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON") and key != "VIRTUAL_ENV"}
    return subprocess.run(
        command, cwd=cwd or Path(sys.prefix), env=kept, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def checked(done: "subprocess.CompletedProcess[str]") -> None:
    """Raise with what a command said, where it failed."""
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, done.args))}: exit code {done.returncode}\n{done.stderr[-3000:]}")
