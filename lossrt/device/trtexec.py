"""The `trtexec` lines that build a bundle's engines where lossrt itself cannot run, such as JetPack 5 with Python 3.8.

The options are those that trtexec documents for TensorRT 8.5 and later; nothing here runs them.
"""

__all__ = ["trtexec_lines"]

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from lossrt.bundle import Bundle
from lossrt.device.plans import EnginePlan, engine_plans, graph_ranges
from lossrt.runtime.onnx_model import parse_model
from lossrt.runtime.profiles import InputRange, ProfileRange, profile_inputs

# Their TensorRT is 8.x, which knows no strongly typed networks.
_WEAKLY_TYPED = frozenset({"jetpack5", "jetpack6.0"})


def trtexec_lines(bundle: Bundle, *, workspace_bytes: int | None = None, plugins: Sequence[Path] = ()) -> list[str]:
    """Return one command line an engine, to be run in the bundle's folder on the device.

    Args:
        bundle: The bundle.
        workspace_bytes: Scratch memory that an engine may use at most.
        plugins: The user's plugin libraries.

    Raises:
        InputError: A graph is malformed, or a dimension of it has no name.
    """
    return [_line(bundle, plan, workspace_bytes, plugins) for plan in engine_plans(bundle)]


def _line(bundle: Bundle, plan: EnginePlan, workspace_bytes: int | None, plugins: Sequence[Path]) -> str:
    graph = bundle.graph_path(plan.graph, plan.precision)
    # trtexec reads the file as exported: what another engine fixes is one size here.
    fixed = {name: ProfileRange(size, size, size) for name, size in plan.fixed.items()}
    where = f"graph '{plan.name}'"
    proto = parse_model(graph.read_bytes(), where=where)
    profile = profile_inputs(proto, graph_ranges(bundle, plan.graph) | fixed, where=where)
    words = [
        "trtexec",
        f"--onnx={graph.relative_to(bundle.root).as_posix()}",
        f"--saveEngine=engines/{plan.name}.tensorrt.engine",
        *_types(bundle.manifest.target, plan.precision),
        *_shapes(profile),
        *([] if workspace_bytes is None else [f"--memPoolSize=workspace:{math.ceil(workspace_bytes / 1024) / 1024:g}"]),
        *(f"{_plugin_option(bundle.manifest.target)}={path}" for path in plugins),
        "--buildOnly" if bundle.manifest.target == "jetpack5" else "--skipInference",
    ]
    return shlex.join(words)


def _types(target: str, precision: str) -> list[str]:
    """Float32 products keep all their bits; the graph alone says what is narrower."""
    if target not in _WEAKLY_TYPED:
        return ["--stronglyTyped", "--noTF32"]
    narrow = ["--fp16", "--precisionConstraints=obey", "--layerPrecisions=*:fp32"] if precision != "fp32" else []
    return ["--noTF32", *narrow]


def _shapes(profile: Mapping[str, InputRange]) -> list[str]:
    if not profile:
        return []
    options = []
    for number, option in enumerate(("--minShapes", "--optShapes", "--maxShapes")):
        shapes = (f"{name}:{'x'.join(str(size) for size in span[number])}" for name, span in profile.items())
        options.append(f"{option}={','.join(shapes)}")
    return options


def _plugin_option(target: str) -> str:
    return "--plugins" if target == "jetpack5" else "--staticPlugins"
