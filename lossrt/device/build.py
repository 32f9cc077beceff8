"""Bundle → engines: every graph with its open dimensions, and the whole loss with fixed ones."""

__all__ = ["BuildOptions", "EngineNote", "build_engines", "engine_notes", "open_graph"]

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import onnx

from lossrt.bundle import Bundle
from lossrt.passes.fix_dims import fix_dims
from lossrt.runtime.compiler import COMPUTE_CAPABILITIES, choose_backend
from lossrt.runtime.engines import EngineRecord, Origin, build_engine, read_records
from lossrt.runtime.environment import available_cores
from lossrt.runtime.profiles import ProfileRange
from lossrt.runtime.trt import TensorRTSession, open_engine

# The loss that users deploy is compiled for one size as well: fixed dimensions cost fewer bytes, and no shape call.
FIXED = "generic_loss"


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


@dataclass(frozen=True, slots=True)
class _Plan:
    graph: str
    precision: str
    fixed: dict[str, int]

    @property
    def variant(self) -> str | None:
        return "".join(f"{name.lower()}{size}" for name, size in self.fixed.items()) or None

    @property
    def name(self) -> str:
        return ".".join(part for part in (self.graph, self.precision, self.variant) if part)

    def dims(self, bundle: Bundle) -> str:
        if self.fixed:
            return ", ".join(f"{name}={size}" for name, size in self.fixed.items())
        ranges = _profile(bundle, self.graph)
        if not ranges:
            return ", ".join(
                f"{name}={size}" for name, size in bundle.entry(self.graph).spec.sizes.items() if name == "B"
            )
        return ", ".join(f"{name}={span.minimum}..{span.maximum}" for name, span in ranges.items())


def build_engines(
    bundle: Bundle,
    *,
    options: BuildOptions | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> list[EngineNote]:
    """Compile every graph of a bundle for every compute capability, reusing engines that still hold: `lossrt build`.

    Args:
        bundle: The bundle; engines go to its `engines/`.
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
    jobs = [(plan, capability) for plan in _plans(bundle) for capability in capabilities]

    def compile_one(plan: _Plan, capability: str | None) -> EngineNote:
        def tell(step: str) -> None:
            progress(f"{plan.name} {capability or 'this GPU'}: {step}", done, len(jobs))

        record = build_engine(
            _model(bundle, plan),
            out_dir=bundle.root / "engines",
            graph=plan.graph,
            precision=plan.precision,
            variant=plan.variant,
            origin=_origin(bundle),
            backend=backend,
            compute_capability=capability,
            profile={} if plan.fixed else _profile(bundle, plan.graph),
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
    """List the engines in a bundle that were built from its graphs; those of an older export are passed over."""
    records = read_records(bundle.root / "engines")
    return [
        EngineNote(record, plan.dims(bundle))
        for plan in _plans(bundle)
        for record in records
        if record.identity.onnx_sha256 == hashlib.sha256(_model(bundle, plan)).hexdigest()
    ]


def _origin(bundle: Bundle) -> Origin:
    recipe = bundle.manifest.recipe
    digest = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest() if recipe else None
    return Origin(bundle.manifest.name, digest, bundle.manifest.target)


def _plans(bundle: Bundle) -> Iterator[_Plan]:
    for graph, entry in bundle.manifest.graphs.items():
        for precision in entry.precisions:
            yield _Plan(graph, precision, {})
            if graph == FIXED and bundle.manifest.dynamic == ("B",):
                for batch in sorted({1, entry.spec.sizes["B"]}):
                    yield _Plan(graph, precision, {"B": batch})


def _profile(bundle: Bundle, graph: str) -> dict[str, ProfileRange]:
    """One to the graph's own size for the batch and the slots; the map from half to twice its size."""
    sizes = bundle.entry(graph).spec.sizes
    ranges = {}
    for dim in bundle.manifest.dynamic:
        size = sizes[dim]
        ranges[dim] = (
            ProfileRange(max(1, size // 2), size, 2 * size) if dim in ("H", "W") else ProfileRange(1, size, size)
        )
    return ranges


def _model(bundle: Bundle, plan: _Plan) -> bytes:
    content = bundle.graph_path(plan.graph, plan.precision).read_bytes()
    if not plan.fixed:
        return content
    fixed = fix_dims(onnx.load_from_string(content), plan.fixed)
    return bytes(fixed.SerializeToString(deterministic=True))


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
    own = {bundle.graph_path(plan.graph, plan.precision): plan for plan in _plans(bundle) if not plan.fixed}
    plan = own.get(path, _Plan("model", "own", {}))
    ranges: dict[str, ProfileRange] = {}
    for graph in [plan.graph] if path in own else bundle.manifest.graphs:
        ranges |= _profile(bundle, graph)
    record = build_engine(
        path,
        out_dir=bundle.root / "engines",
        graph=plan.graph,
        precision=plan.precision,
        origin=_origin(bundle) if path in own else None,
        backend=backend,
        profile=ranges,
        plugins=plugins,
        trust=trust,
    )
    return open_engine(bundle.root / "engines" / record.identity.file, trust=trust, plugins=plugins)
