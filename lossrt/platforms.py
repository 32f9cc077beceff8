"""Where a graph is to run: the export target's opset, and what its ONNX parser takes.

Opsets are the newest that the target's parser documents; TensorRT 8.5 and 8.6 stop at 17.
"""

__all__ = ["PLATFORMS", "Platform", "find_platform"]

from dataclasses import dataclass

from lossrt.errors import InputError, nearest


@dataclass(frozen=True, slots=True)
class Platform:
    """One `--target`.

    Attributes:
        name: What the user writes.
        opset: ONNX opset of the exported graphs.
        functions: True where the parser inlines model-local functions by itself.
        bfloat16: True where the parser takes bfloat16 tensors.
        runtime: What runs the graph there, for people.
    """

    name: str
    opset: int
    functions: bool
    bfloat16: bool
    runtime: str


PLATFORMS: dict[str, Platform] = {
    platform.name: platform
    for platform in (
        Platform("ort", 18, True, True, "ONNX Runtime"),
        Platform("jetpack5", 17, False, False, "TensorRT 8.5"),
        Platform("jetpack6.0", 17, False, False, "TensorRT 8.6"),
        Platform("jetpack6", 18, True, True, "TensorRT 10.3"),
        Platform("jetpack7", 18, True, True, "TensorRT 10.13"),
        Platform("trt11", 18, True, True, "TensorRT 11"),
        Platform("rtx", 18, True, True, "TensorRT for RTX"),
    )
}


def find_platform(name: str) -> Platform:
    """Return the platform called `name`.

    Raises:
        InputError: There is none of that name.
    """
    if name not in PLATFORMS:
        raise InputError(f"target '{name}': unknown; {nearest(name, PLATFORMS)}")
    return PLATFORMS[name]
