"""Which engines a bundle gets, and for which sizes: every graph with its open dimensions, the whole loss with fixed ones too."""

__all__ = ["EnginePlan", "engine_plans", "graph_ranges"]

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from lossrt.bundle import Bundle
from lossrt.passes.fix_dims import fix_dims
from lossrt.runtime.profiles import ProfileRange

# The loss that users deploy is compiled for one size as well: fixed dimensions cost fewer bytes, and no shape call.
FIXED = "generic_loss"
STEP = "head_step_"
# Frames that `lossrt finetune` takes a step with, if not told otherwise.
STEP_BATCH = 4


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """One engine to build.

    Attributes:
        graph: Graph name.
        precision: Type of its maps.
        fixed: Sizes of dimensions that the graph leaves open and the engine does not; empty for the graph as exported.
    """

    graph: str
    precision: str
    fixed: dict[str, int]

    @property
    def variant(self) -> str | None:
        """What sets it apart from the graph's other engines, for example `b1`."""
        return "".join(f"{name.lower()}{size}" for name, size in self.fixed.items()) or None

    @property
    def name(self) -> str:
        """For example `generic_loss.fp32.b1`."""
        return ".".join(part for part in (self.graph, self.precision, self.variant) if part)

    def dims(self, bundle: Bundle) -> str:
        """Return its sizes as people read them, such as `B=1..10`; `K` is the width of a training step's heads."""
        if self.fixed:
            return ", ".join(f"{name}={size}" for name, size in self.fixed.items())
        ranges = graph_ranges(bundle, self.graph)
        if not ranges:
            sizes = bundle.entry(self.graph).spec.sizes
            return ", ".join(f"{name}={size}" for name, size in sizes.items() if name == "B")
        return ", ".join(dict.fromkeys(_span(name, span) for name, span in ranges.items()))

    def model(self, bundle: Bundle) -> bytes:
        """Return the ONNX model to compile, the fixed dimensions fixed."""
        content = bundle.graph_path(self.graph, self.precision).read_bytes()
        if not self.fixed:
            return content
        fixed = fix_dims(onnx.load_from_string(content), self.fixed)
        return bytes(fixed.SerializeToString(deterministic=True))


def engine_plans(bundle: Bundle) -> Iterator[EnginePlan]:
    """Yield the engines that a bundle gets, for each GPU."""
    for graph, entry in bundle.manifest.graphs.items():
        for precision in entry.precisions:
            yield EnginePlan(graph, precision, {})
            if graph == FIXED and bundle.manifest.dynamic == ("B",):
                for batch in sorted({1, entry.spec.sizes["B"]}):
                    yield EnginePlan(graph, precision, {"B": batch})


def graph_ranges(bundle: Bundle, graph: str) -> dict[str, ProfileRange]:
    """Return sizes for a graph's open dimensions.

    One to its own for batch and slots, half to twice its own for the map. A training step has every size open, but its
    engine takes a few frames of its own map and widths alone: with open ones it needs 40 % more memory.
    """
    sizes = bundle.entry(graph).spec.sizes
    if graph.startswith(STEP):
        return {dim: _step_range(dim, size) for dim, size in sizes.items() if _is_open(dim)}
    ranges = {}
    for dim in bundle.manifest.dynamic:
        size = sizes[dim]
        ranges[dim] = (
            ProfileRange(max(1, size // 2), size, 2 * size) if dim in ("H", "W") else ProfileRange(1, size, size)
        )
    return ranges


def _span(name: str, span: ProfileRange) -> str:
    # One width of a training step's heads stands for all that have its range.
    sizes = str(span.maximum) if span.minimum == span.maximum else f"{span.minimum}..{span.maximum}"
    return f"{'K' if name.startswith('K_') else name}={sizes}"


def _is_open(dim: str) -> bool:
    return dim in ("B", "H", "W", "F") or dim.startswith("K_")


def _step_range(dim: str, size: int) -> ProfileRange:
    if dim == "B":
        most = min(size, STEP_BATCH)
        return ProfileRange(1, most, most)
    return ProfileRange(size, size, size)
