"""What the compiling process is asked, and what it answers: JSON, so that no code travels between the two."""

__all__ = ["MODULES", "BackendName", "CompileJob", "CompileOutcome"]

from typing import Literal

from pydantic import BaseModel, ConfigDict

from lossrt.runtime.profiles import InputRange

BackendName = Literal["tensorrt", "rtx"]

MODULES: dict[BackendName, str] = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
"""Python module of each backend."""


class CompileJob(BaseModel):
    """One engine to build.

    Attributes:
        backend: Which compiler.
        name: What messages call the model; the model itself lies beside the job.
        compute_capability: The GPU to build for, for example `8.9`; None builds for the GPU of this machine.
        profile: Shapes of every input with an open dimension.
        workspace_bytes: Scratch memory that the engine may use at most; None leaves it to the compiler.
        plugins: Absolute paths of the user's plugin libraries, trusted already; TensorRT only.
        timing_cache: Path of the file that keeps how long kernels took; None, and always on RTX, where it does nothing:
            no cache.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: BackendName
    name: str
    compute_capability: str | None = None
    profile: dict[str, InputRange] = {}
    workspace_bytes: int | None = None
    plugins: tuple[str, ...] = ()
    timing_cache: str | None = None


class CompileOutcome(BaseModel):
    """How it went.

    Attributes:
        error: Why there is no engine; None where there is one.
        flags: Flags that were set, where this version has them.
        build_s: Seconds that the compiler took, without parsing and process start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: str | None = None
    flags: tuple[str, ...] = ()
    build_s: float = 0.0
