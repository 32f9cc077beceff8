"""`lossrt bench`: the exported graph beside PyTorch and upstream's formulation, in one run."""

__all__ = ["bench"]

import dataclasses
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import MOST_THREADS, BundleArgument, JsonOption, TrustOption, names

if TYPE_CHECKING:
    from lossrt.bundle import Bundle, Case
    from lossrt.device.bench import BenchRow
    from lossrt.device.bench_contenders import Call, Contender, Device, LeftOut

GRAPH = "generic_loss"
FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class _Run:
    """What was timed, how, and what came of it."""

    facts: "dict[str, Any]"
    contenders: "dict[str, Contender]"
    rows: "list[BenchRow]"
    joules: "dict[str, float | None]"
    left_out: "LeftOut"


def bench(
    bundle: BundleArgument,
    graph: Annotated[str, typer.Option("--graph", help="The graph to time.")] = GRAPH,
    precision: Annotated[str, typer.Option("--precision", help="Precisions, separated by commas.")] = "fp32",
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads of every contender on the CPU.")
    ] = 1,
    iterations: Annotated[int, typer.Option("--iterations", min=1, help="Rounds that count.")] = 50,
    warm_up: Annotated[int, typer.Option("--warm-up", min=0, help="Rounds before them.")] = 5,
    pin: Annotated[
        str | None, typer.Option("--pin", metavar="CORES", help="Bind the process to these cores, such as 2,3.")
    ] = None,
    energy_s: Annotated[
        float, typer.Option("--energy-seconds", min=0, help="How long to measure each contender's energy; 0: not.")
    ] = 3.0,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the table as this SVG file.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Engines lie below this folder.")] = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time a graph on its nominal case: in every backend that runs here, beside upstream's, PyTorch, and the floor."""
    from lossrt.bundle import check_outputs
    from lossrt.device.bench_cores import pin as pin_to

    source = opened(bundle, trust=trust, out=out)
    check_outputs({"--plot": plot}, folders={"--out": None if out == bundle else out}, bundle=source)
    pinned = () if pin is None else pin_to(pin)
    facts = {"graph": graph, "threads": threads, "pinned": pinned, "iterations": iterations, "warm_up": warm_up}
    run = _run(source, facts, precisions=names(precision), energy_s=energy_s, trust=trust or [])
    if plot is not None:
        _draw(run, plot)
    if as_json:
        console.show_json(_as_data(run))
    else:
        _show(run)


def _run(
    bundle: "Bundle", facts: dict[str, Any], *, precisions: tuple[str, ...], energy_s: float, trust: list[str]
) -> _Run:
    from lossrt.device.bench import bench as run_rounds
    from lossrt.device.bench_contenders import bundle_contenders, floor_contenders, nominal_case
    from lossrt.runtime.environment import describe_environment, flat
    from lossrt.spec import dim_sizes

    environment = flat(describe_environment())  # imports ONNX Runtime, so that no contender's memory counts it
    graph, threads = facts["graph"], facts["threads"]
    cases = {precision: nominal_case(bundle, graph, precision) for precision in precisions}
    arrays = next(iter(cases.values())).input
    with console.progress_bar("bench") as progress:

        def loading(what: str) -> None:
            progress(f"loading {what}", 0, 1)

        loading("ONNX Runtime")
        found, left_out = bundle_contenders(bundle, graph, cases, threads=threads, trust=trust, progress=loading)
        baseline = found[0].name
        loading("PyTorch")
        torch_found, torch_left_out = _torch_contenders(bundle, graph, cases, threads)
        floors, floor_bytes = floor_contenders(bundle, graph, arrays, found)
        contenders = {contender.name: contender for contender in (*found, *torch_found, *floors)}
        calls = {name: contender.call for name, contender in contenders.items()}
        rounds = {"iterations": facts["iterations"], "warm_up": facts["warm_up"], "progress": progress}
        rows = run_rounds(calls, baseline=baseline, **rounds)
        meter, joules = _energy(contenders, energy_s, progress)
    facts |= {
        "precisions": list(precisions),
        "batch": dim_sizes(bundle.entry(graph).spec, arrays).get("B", 1),
        "baseline": baseline,
        "tf32": False,
        "floor_bytes": floor_bytes,
        "energy_meter": meter,
        "environment": environment,
    }
    return _Run(facts, contenders, rows, joules, left_out | torch_left_out)


def _torch_contenders(
    bundle: "Bundle", graph: str, cases: "dict[str, Case]", threads: int
) -> "tuple[list[Contender], LeftOut]":
    """Load PyTorch's contenders; one whose compiler fails, such as without a C++ compiler, is left out."""
    from lossrt.device.bench_contenders import Contender

    recipe, ours = bundle.manifest.recipe, ("torch eager", "torch.compile")
    if not importlib.util.find_spec("torch"):
        return [], dict.fromkeys(ours, "PyTorch is not installed")
    if recipe is None or "fp32" not in cases:
        return [], dict.fromkeys(ours, "timed for a recipe's graphs in fp32 only")
    from lossrt.models.contenders import pytorch_calls, pytorch_devices

    found, left_out = list[Contender](), dict[str, str]()
    for device in pytorch_devices():
        calls = pytorch_calls(graph, recipe, cases["fp32"].input, threads=threads, device=device)
        for name, call in calls.items():
            contender, reason = _try(name, device, call)
            if contender is None:
                left_out[name] = reason
            else:
                found.append(contender)
    if not found and not left_out:
        left_out = dict.fromkeys(ours, "PyTorch has no form of this graph to time")
    return found, left_out


def _try(name: str, device: "Device", call: "Call") -> "tuple[Contender | None, str]":
    from lossrt.device.bench_contenders import loaded

    try:
        return loaded(name, device, lambda: call), ""
    except Exception as error:  # the compilers' errors share no base
        return None, str(error).strip().partition("\n")[0] or type(error).__name__


def _energy(
    contenders: "dict[str, Contender]", seconds: float, progress: console.Step
) -> tuple[str, dict[str, float | None]]:
    """Return what measured, or why nothing did, and joules a call by contender."""
    from lossrt.device.energy import energy_per_call, find_meter

    if seconds == 0:
        return "not measured: --energy-seconds 0", {}
    meter, reason = find_meter()
    if meter is None:
        return f"not available ({reason})", {}
    seen = {name: contender for name, contender in contenders.items() if contender.device in meter.devices}
    joules = {}
    for place, (name, contender) in enumerate(seen.items()):
        progress(f"energy of {name}", place, len(seen))
        joules[name] = energy_per_call(meter, contender.call, seconds=seconds)
    return meter.name, joules


def _as_data(run: _Run) -> dict[str, Any]:
    rows = []
    for row in run.rows:
        contender = run.contenders[row.name]
        more = {"device": contender.device, "joules": run.joules.get(row.name), "images_per_s": _images(run, row)}
        rows.append(dataclasses.asdict(row) | dataclasses.asdict(contender.memory) | more)
    return run.facts | {"rows": rows, "left_out": run.left_out}


def _images(run: _Run, row: "BenchRow") -> float:
    return float(row.per_s * run.facts["batch"])


def _title(run: _Run) -> str:
    facts = run.facts
    threads = f"{facts['threads']} thread{'s' if facts['threads'] > 1 else ''}"
    pinned = f", pinned to {', '.join(map(str, facts['pinned']))}" if facts["pinned"] else ""
    return f"{facts['graph']}, B {facts['batch']}, {threads}{pinned}, {facts['iterations']} rounds side by side"


def _draw(run: _Run, path: Path) -> None:
    from lossrt.bundle import replace_file
    from lossrt.device.bench_plot import bench_plot
    from lossrt.errors import BackendError

    try:
        replace_file(path, bench_plot(run.rows, title=_title(run)))
    except BackendError as error:
        console.note(f"left out: {error}")
    else:
        console.note(f"wrote {path}")


def _show(run: _Run) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, title=_title(run), title_justify="left", pad_edge=False, collapse_padding=True)
    table.add_column("contender", no_wrap=True)
    for name in ("ms", "p90", "p99", "spread", "images/s", "peak MB", *(("mJ",) if run.joules else ()), "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in run.rows:
        table.add_row(*_cells(run, row))
    console.show(table)
    facts = run.facts
    console.say(
        f"ms: median of a call; spread: between the quartiles; ratio: to '{facts['baseline']}' in the same round"
    )
    console.say(f"floor: a copy of the {facts['floor_bytes']:,} bytes that must be read, by one thread")
    console.say("peak: what loading and the first call added, a compilation in this process included; TF32 off")
    console.say(f"energy: {facts['energy_meter']}")
    reasons: dict[str, list[str]] = {}
    for name, reason in run.left_out.items():
        reasons.setdefault(reason, []).append(name)
    for reason, missing in reasons.items():
        console.say(f"left out: {'; '.join(missing)}: {reason}")


def _cells(run: _Run, row: "BenchRow") -> list[str]:
    contender, joules = run.contenders[row.name], run.joules.get(row.name)
    peak = contender.memory.gpu_bytes if contender.device == "cuda" else contender.memory.host_bytes
    energy = ("-" if joules is None else _figure(joules * 1e3),) if run.joules else ()
    times = (_figure(value) for value in (row.median_ms, row.p90_ms, row.p99_ms, row.spread_ms))
    images, memory = _figure(_images(run, row)), "-" if peak is None else f"{peak / 1e6:.1f}"
    return [row.name, *times, images, memory, *energy, _figure(row.ratio)]


def _figure(value: float) -> str:
    """Return a figure with two digits after the point, or fewer where three stand before that."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"
