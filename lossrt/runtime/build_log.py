"""Read what an engine costs off the compiler's verbose log: kernels with their ONNX nodes, and memory.

Without a GPU the engine itself cannot be opened, and the log is the only witness. It lists every layer after `Layers:`
(TensorRT 10 and later, and TensorRT for RTX, at detailed profiling verbosity). Whatever the log does not say is an error,
never a zero.
"""

__all__ = ["BOOKKEEPING", "EngineCost", "Kernel", "parse_build_log"]

import re
from dataclasses import dataclass

from lossrt.errors import BackendError

BOOKKEEPING = frozenset({"signal", "wait", "shape_call", "ShapeHostToDevice", "NoOp", "Constant"})
"""Kinds of layer that launch no kernel: events between streams, shape arithmetic on the host, names for data."""

_PREFIX = re.compile(r"^(?:\[[^\]]*\]\s*)+")
_LAYER = re.compile(r"^Name: (?P<name>.*?), LayerType: (?P<kind>\w+), ")
_MEMORY = {
    "scratch_bytes": re.compile(r"^(?:Max|Total) Scratch Memory: (\d+)"),
    "activation_bytes": re.compile(r"^Total Activation Memory: (\d+)"),
    "weights_bytes": re.compile(r"^Total Weights Memory: (\d+)"),
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """One layer of an engine.

    Attributes:
        name: The compiler's name for it.
        kind: The compiler's kind, for example `kgen` (generated and fused), `gemm`, or `signal`.
        onnx_nodes: Names of the ONNX nodes that ended up in it, where the compiler says so.
    """

    name: str
    kind: str
    onnx_nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EngineCost:
    """What one engine costs to run.

    Attributes:
        kernels: Compute kernels, in the order in which they are launched.
        bookkeeping: The other listed layers (see `BOOKKEEPING`).
        scratch_bytes: Largest scratch memory of any layer.
        activation_bytes: Memory of all intermediate results.
        weights_bytes: Memory of the constants.
    """

    kernels: tuple[Kernel, ...]
    bookkeeping: tuple[Kernel, ...]
    scratch_bytes: int
    activation_bytes: int
    weights_bytes: int


def parse_build_log(text: str) -> EngineCost:
    """Read the verbose log of one engine's build.

    Args:
        text: The log; prefixes in square brackets (severity, time) at the start of a line are ignored.

    Raises:
        BackendError: The log does not list the layers of exactly one engine, has a layer that cannot be read, or lacks
            a memory figure.
    """
    # Not splitlines: it would break at the control characters that TensorRT puts between node names.
    lines = [_PREFIX.sub("", line) for line in text.split("\n")]
    layers = tuple(_layer(line) for line in _listing(lines))
    return EngineCost(
        kernels=tuple(layer for layer in layers if layer.kind not in BOOKKEEPING),
        bookkeeping=tuple(layer for layer in layers if layer.kind in BOOKKEEPING),
        **{figure: _figure(lines, pattern, figure) for figure, pattern in _MEMORY.items()},
    )


def _listing(lines: list[str]) -> list[str]:
    """Return the lines between `Layers:` and the next empty line."""
    starts = [number for number, line in enumerate(lines) if line.strip() == "Layers:"]
    if len(starts) != 1:
        raise _unreadable(f"expected one line 'Layers:', got {len(starts)}")
    listing = []
    for line in lines[starts[0] + 1 :]:
        if not line.strip():
            break
        listing.append(line)
    if not listing:
        raise _unreadable("expected layers after 'Layers:', got none")
    return listing


def _layer(line: str) -> Kernel:
    match = _LAYER.match(line)
    head, mark, metadata = line.rpartition("Metadata: ")
    if match is None or not mark:
        raise _unreadable(f"expected 'Name: …, LayerType: …, … Metadata: …', got '{(head or line)[:120]}'")
    # TensorRT puts control characters between nodes, TensorRT for RTX nothing; a node's name may hold brackets.
    nodes = (part.rstrip("\x1e\x1f ").removesuffix("]") for part in metadata.split("[ONNX Layer: ")[1:])
    return Kernel(match["name"], match["kind"], tuple(nodes))


def _figure(lines: list[str], pattern: re.Pattern[str], figure: str) -> int:
    values = {int(match[1]) for line in lines if (match := pattern.match(line))}
    if len(values) != 1:
        raise _unreadable(f"expected one value of {figure}, got {sorted(values) or 'none'}")
    return values.pop()


def _unreadable(reason: str) -> BackendError:
    return BackendError(
        f"build log: {reason}; this version of the compiler writes its log differently: report it with the log"
    )
