"""A bundle's graphs as contenders: in every backend that runs here, each with the memory that it takes."""

__all__ = ["Contender", "bundle_contenders", "floor_contenders", "loaded", "nominal_case"]

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from numpy.typing import NDArray

from lossrt.bundle import Bundle, Case
from lossrt.device.bench_floor import bytes_read, device_copy, host_copy
from lossrt.device.bench_memory import PeakMemory, peak_of
from lossrt.device.bench_step import is_step, step_case
from lossrt.device.build import open_graph
from lossrt.errors import InputError, LossrtError
from lossrt.runtime.gpu import gpu_present
from lossrt.runtime.ort import OrtSession
from lossrt.runtime.session import Session

Device = Literal["cpu", "cuda"]
Call = Callable[[], object]
LeftOut = dict[str, str]
BASELINES = "generic_loss"  # the graph that the bundle has upstream's formulation of


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to compute a graph, ready to be called.

    Attributes:
        name: Its name in the table.
        device: `cpu` or `cuda`.
        call: One evaluation, finished when it returns.
        memory: What loading it and its first call added to the memory in use, a compilation in the process included.
    """

    name: str
    device: Device
    call: Call
    memory: PeakMemory


def loaded(name: str, device: Device, make: Callable[[], Call]) -> Contender:
    """Make a contender and call it once.

    Args:
        name: Its name.
        device: Where it computes.
        make: Loads it and returns the call.
    """

    def make_and_call() -> Call:
        call = make()
        call()
        return call

    call, memory = peak_of(make_and_call)
    return Contender(name, device, call, memory)


def nominal_case(bundle: Bundle, graph: str, precision: str) -> Case:
    """Return the golden case of the recipe's own batch; the first where there is none of that name.

    A training step, whose golden cases are tiny, gets one frame at the sizes that it is tuned for.

    Raises:
        InputError: The bundle has no such graph, precision or case.
    """
    entry = bundle.entry(graph)
    if precision not in entry.precisions:
        raise InputError(
            f"--precision {precision}: expected one of this bundle ({', '.join(entry.precisions)}); export it with "
            f"--precision fp32,{precision}"
        )
    if is_step(graph):
        return step_case(bundle, graph)
    names = entry.cases.get(precision, ())
    if not names:
        raise InputError(f"graph '{graph}.{precision}': expected a golden case to time it on, got none; export again")
    return bundle.case(graph, precision, "nominal" if "nominal" in names else names[0])


def bundle_contenders(
    bundle: Bundle,
    graph: str,
    cases: Mapping[str, Case],
    *,
    threads: int,
    trust: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _what: None,
) -> tuple[list[Contender], LeftOut]:
    """Load a graph in every backend that runs here, and upstream's formulation in ONNX Runtime.

    Args:
        bundle: The bundle; engines that are built on the way go to its folder of engines.
        graph: Graph name.
        cases: The case to time by precision; each precision is a contender of its own.
        threads: Threads of ONNX Runtime on the CPU.
        trust: SHA-256 digests of engines from other machines that may be reused.
        progress: Told what is being loaded.

    Returns:
        The contenders, ONNX Runtime on the CPU first; and why the others are not among them, by name.
    """
    contenders, left_out = list[Contender](), LeftOut()
    for precision, case in cases.items():
        for maker in _makers(bundle, graph, precision, case.input, threads=threads, trust=tuple(trust)):
            progress(maker.name)
            reason = _reason(bundle, maker)
            try:
                if not reason:
                    contenders.append(loaded(maker.name, maker.device, maker.make))
            except LossrtError as error:
                if maker.backend == "ort":
                    raise
                reason = str(error)
            if reason:
                left_out[maker.name] = reason
    return contenders, left_out


def floor_contenders(
    bundle: Bundle, graph: str, arrays: Mapping[str, NDArray[Any]], contenders: Sequence[Contender]
) -> tuple[list[Contender], int]:
    """Return the floor on each device that a contender computes on, and the bytes that must be read."""
    size = bytes_read(bundle.entry(graph).spec, bundle.manifest.recipe, arrays)
    floors = [loaded("floor", "cpu", lambda: host_copy(size))]
    if any(contender.device == "cuda" for contender in contenders):
        floors.append(loaded("floor, GPU", "cuda", lambda: device_copy(size)))
    return floors, size


@dataclass(frozen=True, slots=True)
class _Maker:
    """A contender that is still to be loaded."""

    name: str
    backend: str
    device: Device
    make: Callable[[], Call]


def _makers(
    bundle: Bundle,
    graph: str,
    precision: str,
    arrays: Mapping[str, NDArray[Any]],
    *,
    threads: int,
    trust: tuple[str, ...],
) -> Iterator[_Maker]:
    path, more = bundle.graph_path(graph, precision), "" if precision == "fp32" else f" {precision}"
    yield _Maker(f"lossrt{more}, ort", "ort", "cpu", lambda: OrtSession(path, threads=threads).bound(arrays))
    baseline = bundle.baseline_path(precision)
    if graph == BASELINES and baseline.is_file():
        name = f"upstream exported{more}, ort"
        yield _Maker(name, "ort", "cpu", lambda: OrtSession(baseline, threads=threads).bound(arrays))
    providers: tuple[Literal["cuda", "tensorrt"], ...] = ("cuda", "tensorrt")
    for provider in providers:
        session = partial(OrtSession, path, device=provider)
        yield _Maker(f"lossrt{more}, ort-{provider}", f"ort-{provider}", "cuda", partial(_bound, session, arrays))
    for backend in ("tensorrt", "rtx"):
        engine = partial(open_graph, bundle, path, backend=backend, trust=trust)
        yield _Maker(f"lossrt{more}, {backend}", backend, "cuda", partial(_bound, engine, arrays))


def _bound(engine: Callable[[], Session], arrays: Mapping[str, NDArray[Any]]) -> Call:
    return engine().bound(arrays)


def _reason(bundle: Bundle, maker: _Maker) -> str:
    """Return why a contender need not be tried; what else stands in its way it says itself."""
    if maker.device == "cuda" and not gpu_present():
        return "no NVIDIA GPU here"
    if maker.backend in ("tensorrt", "rtx") and bundle.packed and bundle.out is None:
        return "the bundle is packed, so that its engines need a folder of their own: pass --out DIR"
    return ""
