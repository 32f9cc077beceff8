"""Compile an ONNX file into an engine, in a process of its own."""

__all__ = ["COMPUTE_CAPABILITIES", "Compiled", "backend_version", "choose_backend", "compile_onnx"]

import importlib
import importlib.metadata
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lossrt.errors import BackendError, InputError, nearest
from lossrt.runtime.adapter import import_module
from lossrt.runtime.gpu import find_gpu, require_gpu
from lossrt.runtime.job import MODULES, BackendName, CompileJob, CompileOutcome
from lossrt.runtime.onnx_model import parse_model, read_model, refuse_types
from lossrt.runtime.profiles import InputRange, ProfileRange, profile_inputs

COMPUTE_CAPABILITIES = ("8.6", "8.9", "12.0")
"""What is built for where the user names none: RTX 30, 40 and 50."""

_LOOK_EVERY_S = 0.25
_POLYGRAPHY = {
    "rtx": {"POLYGRAPHY_USE_TENSORRT_RTX": "1"},
    "tensorrt": {"POLYGRAPHY_USE_TENSORRT_RTX": "0"},
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """An engine fresh from the compiler.

    Attributes:
        engine: The engine.
        log: The compiler's verbose log.
        flags: Flags that it was built with.
        profile: Shapes that it was built for, by input with an open dimension.
        build_s: Seconds that the compiler took.
    """

    engine: bytes
    log: str
    flags: tuple[str, ...]
    profile: dict[str, InputRange]
    build_s: float


def choose_backend(name: str | None = None) -> BackendName:
    """Return the compiler to use: TensorRT where it and a GPU are here, else TensorRT for RTX.

    Args:
        name: `tensorrt` or `rtx` to insist on one.

    Raises:
        InputError: `name` is neither.
        BackendError: It is not installed, or TensorRT has no GPU.
    """
    if name is None:
        name = "tensorrt" if _installed("tensorrt") and find_gpu() else "rtx"
    if name not in MODULES:
        raise InputError(f"backend '{name}': compiles no engines; {nearest(name, MODULES)}")
    backend: BackendName = "tensorrt" if name == "tensorrt" else "rtx"
    if not _installed(MODULES[backend]):
        import_module(backend)
    if backend == "tensorrt":
        require_gpu(what="backend 'tensorrt'")
    return backend


def backend_version(backend: BackendName) -> str:
    """Return the version of a compiler.

    Raises:
        BackendError: It is not installed.
    """
    try:
        return importlib.metadata.version(MODULES[backend])
    except importlib.metadata.PackageNotFoundError:
        # JetPack's Debian packages may come without metadata.
        return str(import_module(backend).__version__)


def compile_onnx(
    model: Path | bytes,
    *,
    backend: BackendName,
    compute_capability: str | None = None,
    profile: Mapping[str, ProfileRange] | None = None,
    workspace_bytes: int | None = None,
    plugins: Sequence[Path] = (),
    timing_cache: Path | None = None,
    name: str | None = None,
    timeout_s: float = 600.0,
    progress: Callable[[str], None] | None = None,
) -> Compiled:
    """Compile an ONNX model.

    Args:
        model: Path of the file, or its bytes.
        backend: Which compiler; see `choose_backend`.
        compute_capability: The GPU to build for, such as `8.9`; None: the GPU of this machine.
        profile: Sizes of every open dimension, by name.
        workspace_bytes: Scratch memory that the engine may use at most: the build fails above it.
        plugins: The user's plugin libraries, trusted already (`lossrt.runtime.libraries`).
        timing_cache: File that keeps how long kernels took, for later builds; not used on RTX, where it does nothing.
        name: What messages call the model; None: by its path.
        timeout_s: Seconds after which the compiler is stopped.
        progress: Told the compiler's latest step now and then, such as `Timing tactics 2/3`.

    Raises:
        InputError: The model is corrupt, uses a type that engines do not keep, or has an open dimension without a range;
            the compute capability is malformed.
        BackendError: The compiler is missing or fails.
    """
    where = name or ("ONNX model" if isinstance(model, bytes) else f"ONNX model '{model}'")
    content = model if isinstance(model, bytes) else read_model(model)
    proto = parse_model(content, where=where)
    refuse_types(proto, where=where)
    job = CompileJob(
        backend=backend,
        name=where,
        compute_capability=checked_capability(backend, compute_capability),
        profile=profile_inputs(proto, profile or {}, where=where),
        workspace_bytes=workspace_bytes,
        plugins=_checked_plugins(backend, plugins),
        timing_cache=str(timing_cache) if timing_cache is not None and backend != "rtx" else None,
    )
    with tempfile.TemporaryDirectory(prefix="lossrt-build-") as scratch:
        folder = Path(scratch)
        (folder / "model.onnx").write_bytes(content)
        outcome = _run_worker(folder, job, timeout_s, progress)
        if outcome.error is not None:
            raise BackendError(outcome.error)
        return Compiled(
            engine=(folder / "engine").read_bytes(),
            log=(folder / "build.log").read_text(encoding="utf-8"),
            flags=outcome.flags,
            profile=job.profile,
            build_s=outcome.build_s,
        )


def checked_capability(backend: BackendName, wanted: str | None) -> str:
    """Return the compute capability to build for.

    Raises:
        InputError: It is malformed.
        BackendError: None is wanted and there is no GPU, or TensorRT is to build for another GPU than its own.
    """
    if wanted is not None and not re.fullmatch(r"[1-9]\d?\.\d", wanted):
        raise InputError(f"compute capability '{wanted}': expected MAJOR.MINOR, such as 8.9")
    if backend == "rtx" and wanted is not None:
        return wanted
    here = require_gpu(what=f"backend '{backend}' without --compute-capability").compute_capability
    if wanted not in (None, here):
        raise BackendError(
            f"compute capability {wanted}: TensorRT builds for the GPU of its own machine, which has {here}; "
            "build it there, or use --backend rtx"
        )
    return here


def _checked_plugins(backend: BackendName, plugins: Sequence[Path]) -> tuple[str, ...]:
    if plugins and backend == "rtx":
        raise BackendError(
            f"--plugin '{plugins[0]}': TensorRT for RTX has no plugins, and a node for one aborts its parser; use "
            "--backend tensorrt on a machine with a GPU, or write the node in ONNX operators"
        )
    return tuple(str(path) for path in plugins)


def _run_worker(
    folder: Path, job: CompileJob, timeout_s: float, progress: Callable[[str], None] | None
) -> CompileOutcome:
    (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
    environment = os.environ | _POLYGRAPHY[job.backend] | {"POLYGRAPHY_AUTOINSTALL_DEPS": "0"}
    # The child finds what we find, and nothing from the folder that the user happens to be in.
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    command = [sys.executable, "-m", "lossrt.runtime.worker", str(folder)]
    # Standard error goes to a file: nobody reads a pipe while the compiler works.
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603  # our own module, no shell
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
        )
        try:
            code = _wait(process, folder / "progress", timeout_s, progress)
        except subprocess.TimeoutExpired as error:
            raise BackendError(
                f"{job.name}: {job.backend} did not finish within {timeout_s:g} s; simplify the graph"
            ) from error
        finally:
            process.kill()
            process.wait()
    try:
        return CompileOutcome.model_validate_json((folder / "outcome.json").read_bytes())
    except (OSError, ValueError) as error:
        raise BackendError(f"{job.name}: the process of {job.backend} {_death(code)}; {_last_words(folder)}") from error


def _wait(
    process: "subprocess.Popen[bytes]", steps: Path, timeout_s: float, progress: Callable[[str], None] | None
) -> int:
    """Return the exit code; meanwhile tell the latest step, of a short compile at its end."""
    if progress is None:
        return process.wait(timeout_s)
    end, told, code = time.monotonic() + timeout_s, "", None
    while code is None:
        try:
            code = process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                raise
        latest = _latest_line(steps)
        if latest not in ("", told):
            progress(latest)
            told = latest
    return code


def _latest_line(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    whole = text.rpartition("\n")[0]
    return whole.rpartition("\n")[2]


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _last_words(folder: Path) -> str:
    files = (folder / "stderr", folder / "build.log")
    texts = (path.read_text(encoding="utf-8", errors="replace").strip() for path in files if path.is_file())
    text = next((text for text in texts if text), "")
    return f"its last line: {text.splitlines()[-1][:300]}" if text else "it said nothing"


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # the module is there in name only
        return False
