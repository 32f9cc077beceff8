"""Bundle → engines: every graph with its open dimensions, and the whole loss with fixed ones."""

__all__ = ["BuildOptions", "EngineNote", "build_engines", "engine_notes", "open_graph"]

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lossrt.bundle import Bundle
from lossrt.device.plans import EnginePlan, engine_plans, graph_ranges
from lossrt.runtime.compiler import COMPUTE_CAPABILITIES, choose_backend
from lossrt.runtime.engine_record import EngineRecord, Origin
from lossrt.runtime.engines import build_engine, read_records
from lossrt.runtime.environment import available_cores
from lossrt.runtime.profiles import ProfileRange
from lossrt.runtime.trt import TensorRTSession, open_engine


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What to compile.

    Attributes:
        backend: `tensorrt` or `rtx`; None chooses.
        compute_capabilities: GPUs to build for; empty: the default ones, or this machine's GPU with `tensorrt`.
        workspace_bytes: Scratch memory that an engine may use at most.
        plugins: The user's plugin libraries, trusted already; TensorRT only.
        keep_log: Keep the compiler's verbose log beside each engine.
        trust: SHA-256 digests of engines from other machines that may be reused.
    """

    backend: str | None = None
    compute_capabilities: tuple[str, ...] = ()
    workspace_bytes: int | None = None
    plugins: tuple[Path, ...] = ()
    keep_log: bool = False
    trust: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineNote:
    """An engine as the report lists it: its record, and its dimensions as people read them, such as `B=1..10`."""

    record: EngineRecord
    dims: str


def build_engines(
    bundle: Bundle,
    *,
    options: BuildOptions | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> list[EngineNote]:
    """Compile every graph of a bundle for every compute capability, reusing engines that still hold: `lossrt build`.

    Args:
        bundle: The bundle; engines go to its `engines`.
        options: Backend, compute capabilities, workspace limit.
        progress: Called with what is being built, engines done and engines in all.

    Returns:
        One note an engine.

    Raises:
        InputError: A compute capability is malformed, or a graph uses what engines do not keep.
        BackendError: The compiler is missing or fails.
        StorageError: The disk refused.
    """
    chosen = options or BuildOptions()
    backend = choose_backend(chosen.backend)
    capabilities: tuple[str | None, ...] = chosen.compute_capabilities or (
        COMPUTE_CAPABILITIES if backend == "rtx" else (None,)
    )
    jobs = [(plan, capability) for plan in engine_plans(bundle) for capability in capabilities]

    def compile_one(plan: EnginePlan, capability: str | None) -> EngineNote:
        def tell(step: str) -> None:
            progress(f"{plan.name} {capability or 'this GPU'}: {step}", done, len(jobs))

        record = build_engine(
            plan.model(bundle),
            out_dir=bundle.engines,
            graph=plan.graph,
            precision=plan.precision,
            variant=plan.variant,
            origin=_origin(bundle),
            backend=backend,
            compute_capability=capability,
            profile={} if plan.fixed else graph_ranges(bundle, plan.graph),
            workspace_bytes=chosen.workspace_bytes,
            plugins=chosen.plugins,
            keep_log=chosen.keep_log,
            trust=chosen.trust,
            progress=tell,
        )
        return EngineNote(record, plan.dims(bundle))

    done = 0
    # Each compile is a process of its own, so threads are enough to keep every core busy. TensorRT times kernels on the
    # GPU while it builds: two builds at once would measure each other.
    with ThreadPoolExecutor(max_workers=available_cores() if backend == "rtx" else 1) as pool:
        waiting = [pool.submit(compile_one, plan, capability) for plan, capability in jobs]
        notes = []
        for done, (future, (plan, capability)) in enumerate(zip(waiting, jobs, strict=True)):
            progress(f"{plan.name} {capability or 'this GPU'}", done, len(jobs))
            try:
                notes.append(future.result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    progress("done", len(jobs), len(jobs))
    return notes


def engine_notes(bundle: Bundle) -> list[EngineNote]:
    """List the engines in a bundle that were built from its graphs; those of an older export are passed over.

    A packed bundle has none where nothing says that they lie elsewhere (`Bundle.out`).
    """
    records = read_records(bundle.engines) if bundle.out or not bundle.packed else []
    return [
        EngineNote(record, plan.dims(bundle))
        for plan in engine_plans(bundle)
        for record in records
        if record.identity.onnx_sha256 == hashlib.sha256(plan.model(bundle)).hexdigest()
    ]


def _origin(bundle: Bundle) -> Origin:
    recipe = bundle.manifest.recipe
    digest = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest() if recipe else None
    return Origin(bundle.manifest.name, digest, bundle.manifest.target)


def open_graph(
    bundle: Bundle, path: Path, *, backend: str, plugins: tuple[Path, ...] = (), trust: tuple[str, ...] = ()
) -> TensorRTSession:
    """Build the engine of a graph for this machine's GPU, or reuse it, and open it.

    Args:
        bundle: The bundle.
        path: The ONNX file of one of its graphs, or of another model with dimensions of the same names.
        backend: `tensorrt` or `rtx`.
        plugins: The user's plugin libraries, trusted already; TensorRT only.
        trust: SHA-256 digests of engines from other machines that may be reused.

    Raises:
        BackendError: The backend or a GPU is missing, or the build fails.
    """
    own = {bundle.graph_path(plan.graph, plan.precision): plan for plan in engine_plans(bundle) if not plan.fixed}
    plan = own.get(path, EnginePlan("model", "own", {}))
    ranges: dict[str, ProfileRange] = {}
    for graph in [plan.graph] if path in own else bundle.manifest.graphs:
        ranges |= graph_ranges(bundle, graph)
    record = build_engine(
        path,
        out_dir=bundle.engines,
        graph=plan.graph,
        precision=plan.precision,
        origin=_origin(bundle) if path in own else None,
        backend=backend,
        profile=ranges,
        plugins=plugins,
        trust=trust,
    )
    return open_engine(bundle.engines / record.identity.file, trust=trust, plugins=plugins)
