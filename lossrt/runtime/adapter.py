"""One adapter for TensorRT 8.6 to 11 and TensorRT for RTX: they share an API, and features are probed for, not versions.

polygraphy makes profile, configuration and engine. Network, parser and logger are made here: polygraphy's own loaders
tie the builder to its logger, which drops the verbose lines that name the kernels, and they turn the parser's errors
into one sentence. The library keeps the first logger of a process, so each build needs a process of its own
(`lossrt.runtime.worker`).
"""

__all__ = ["build_engine_bytes", "collecting_logger", "import_module", "load_plugins"]

import importlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from lossrt.bundle import replace_file
from lossrt.errors import BackendError
from lossrt.runtime.job import MODULES, BackendName, CompileJob, CompileOutcome

_INSTALL = {
    "rtx": "run `pip install tensorrt-rtx polygraphy`",
    "tensorrt": "it comes with JetPack (make the virtual environment with --system-site-packages); elsewhere run `pip install tensorrt`",
}


def build_engine_bytes(
    job: CompileJob, model: bytes, log: TextIO, *, progress: TextIO | None = None
) -> tuple[bytes, CompileOutcome]:
    """Parse the model and build the engine. Once a process.

    Args:
        job: What to build.
        model: The ONNX file's bytes.
        log: Receives the compiler's verbose log, line by line, so that it outlives an abort.
        progress: Receives a line for every step, such as `Timing tactics 2/3`, where the version tells of them.

    Raises:
        BackendError: A module is missing, a plugin library does not load, the parser refuses the model, the GPU cannot be
            built for, or the build fails.
    """
    trt = import_module(job.backend)
    loaders = _polygraphy_loaders(job.backend)
    logger = collecting_logger(trt, log)
    builder = trt.Builder(logger)
    load_plugins(trt, logger, job.plugins)
    network, flags = _network(trt, builder)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        raise BackendError(
            f"{job.name}: {job.backend} cannot parse it: {_parser_errors(parser)}; "
            "replace these nodes, or choose another --target"
        )
    config, config_flags = _config(trt, loaders, job, builder, network)
    if progress is not None and hasattr(trt, "IProgressMonitor") and hasattr(config, "progress_monitor"):
        config.progress_monitor = monitor = _progress_monitor(trt, progress)  # noqa: F841  # TensorRT only borrows it
    if job.timing_cache is not None and _start_timing_cache(config, Path(job.timing_cache)):
        config_flags = (*config_flags, "timing cache")
    start = time.perf_counter()
    try:
        engine = loaders["build"]((builder, network, parser), config)()
    except loaders["error"] as error:
        reasons = "; ".join(logger.errors) or str(error)
        limit = f" within {job.workspace_bytes} bytes of workspace" if job.workspace_bytes is not None else ""
        raise BackendError(f"{job.name}: {job.backend} cannot build an engine{limit}: {reasons}") from error
    build_s = time.perf_counter() - start
    if job.timing_cache is not None and "timing cache" in config_flags:
        replace_file(Path(job.timing_cache), bytes(config.get_timing_cache().serialize()))
    return bytes(engine), CompileOutcome(flags=(*flags, *config_flags), build_s=build_s)


def load_plugins(trt: Any, logger: Any, libraries: Iterable[str]) -> None:
    """Load the user's plugin libraries into a backend; their code runs from here on.

    Args:
        trt: The imported module of the backend.
        logger: Its logger.
        libraries: Absolute paths, trusted already (`lossrt.runtime.libraries`).

    Raises:
        BackendError: The version cannot load plugin libraries, or one does not load.
    """
    chosen = tuple(libraries)
    if not chosen:
        return
    trt.init_libnvinfer_plugins(logger, "")
    for path in chosen:
        if trt.get_plugin_registry().load_library(path) is None:
            reasons = "; ".join(logger.errors) or "no reason given"
            raise BackendError(
                f"--plugin '{path}': TensorRT {trt.__version__} cannot load it: {reasons}; build it against this version"
            )


def import_module(backend: BackendName) -> Any:
    """Import a backend's module.

    Raises:
        BackendError: It is not installed, or its libraries do not load.
    """
    try:
        return importlib.import_module(MODULES[backend])
    except (ImportError, OSError) as error:
        raise BackendError(
            f"backend '{backend}': cannot import {MODULES[backend]} ({error}); {_INSTALL[backend]}"
        ) from error


def collecting_logger(trt: Any, log: TextIO) -> Any:
    """Return a logger for the module `trt` that writes every line to `log` and keeps the errors in `.errors`."""

    class CollectingLogger(trt.ILogger):  # type: ignore[misc]  # the base class is known at run time only
        def __init__(self) -> None:
            # pybind11 requires the base's __init__ by name.
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(msg.strip())
            log.write(f"[{severity.name}] {msg}\n")

    return CollectingLogger()


def _polygraphy_loaders(backend: BackendName) -> dict[str, Any]:
    try:
        trt_backend = importlib.import_module("polygraphy.backend.trt")
        config = (
            importlib.import_module("polygraphy.backend.tensorrt_rtx").CreateConfigRTX if backend == "rtx" else None
        )
        return {
            "profile": trt_backend.Profile,
            "config": config or trt_backend.CreateConfig,
            "build": trt_backend.EngineBytesFromNetwork,
            "error": importlib.import_module("polygraphy.exception").PolygraphyException,
        }
    except (ImportError, AttributeError) as error:
        raise BackendError(
            f"backend '{backend}': cannot import polygraphy ({error}); run `pip install --upgrade polygraphy`"
        ) from error


def _network(trt: Any, builder: Any) -> tuple[Any, tuple[str, ...]]:
    """Types come from the graph alone: strongly typed where the version can be told so (later ones always are)."""
    known = trt.NetworkDefinitionCreationFlag
    wanted = tuple(name for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if hasattr(known, name))
    network = builder.create_network(sum(1 << int(getattr(known, name)) for name in wanted))
    # Read back, where that can be done: the record is to say what was built, not what was asked for.
    return network, tuple(
        name for name in wanted if not hasattr(network, "get_flag") or network.get_flag(getattr(known, name))
    )


def _config(
    trt: Any, loaders: dict[str, Any], job: CompileJob, builder: Any, network: Any
) -> tuple[Any, tuple[str, ...]]:
    profile = loaders["profile"]()
    for name, (minimum, optimum, maximum) in job.profile.items():
        profile.add(name, min=minimum, opt=optimum, max=maximum)
    options: dict[str, Any] = {"profiles": [profile], "profiling_verbosity": trt.ProfilingVerbosity.DETAILED}
    flags = ["DETAILED"]
    if job.workspace_bytes is not None:
        options["memory_pool_limits"] = {trt.MemoryPoolType.WORKSPACE: job.workspace_bytes}
        flags.append(f"WORKSPACE={job.workspace_bytes}")
    if job.backend == "rtx":
        options["compute_capabilities"] = [_capability(trt, job.compute_capability)]
    config = loaders["config"](**options)(builder, network)
    # On by default where it exists; it would round float32 products to 10 bits of mantissa.
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)
        flags.append("TF32" if config.get_flag(trt.BuilderFlag.TF32) else "no TF32")
    return config, tuple(flags)


def _start_timing_cache(config: Any, path: Path) -> bool:
    """Give the builder what earlier builds measured; say whether there is a cache to keep afterwards."""
    if not hasattr(config, "create_timing_cache"):
        return False
    known = path.read_bytes() if path.is_file() else b""
    # A cache of another version or GPU is refused: an empty one takes its place.
    return bool(
        config.set_timing_cache(config.create_timing_cache(known), False)
        or config.set_timing_cache(config.create_timing_cache(b""), False)
    )


def _progress_monitor(trt: Any, out: TextIO) -> Any:
    """Return a monitor that writes a line for every step, such as `Timing tactics 2/3`."""

    class LineMonitor(trt.IProgressMonitor):  # type: ignore[misc]  # the base class is known at run time only
        def __init__(self) -> None:
            # pybind11 requires the base's __init__ by name.
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, _parent: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            out.write(f"{phase_name} {step + 1}/{self.steps.get(phase_name, '?')}\n")
            return True

    return LineMonitor()


def _capability(trt: Any, wanted: str | None) -> tuple[int, int]:
    if wanted is None or not hasattr(trt, "ComputeCapability"):
        raise BackendError(
            "backend 'rtx': this version cannot build for a chosen GPU; run `pip install --upgrade tensorrt-rtx`"
        )
    names = [name.removeprefix("SM") for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    known = sorted((int(name[:-1]), int(name[-1])) for name in names)
    major, minor = (int(part) for part in wanted.split("."))
    if (major, minor) not in known:
        offered = ", ".join(f"{a}.{b}" for a, b in known)
        raise BackendError(
            f"compute capability {wanted}: TensorRT for RTX builds for {offered} only; no engine for it, Jetson Orin "
            "(8.7) included, is built off the device: export the bundle, and run `lossrt build` on the device itself"
        )
    return major, minor


def _parser_errors(parser: Any) -> str:
    reasons = []
    for number in range(parser.num_errors):
        error = parser.get_error(number)
        name = error.node_name() if hasattr(error, "node_name") else f"number {error.node()}"
        kind = f" ({error.node_operator()})" if hasattr(error, "node_operator") else ""
        reasons.append(f"node '{name}'{kind}: {error.desc()}")
    return "; ".join(dict.fromkeys(reasons)) or "no reason given"
