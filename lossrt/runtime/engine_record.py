"""What the JSON beside an engine says: what built it, from what, at which cost, and where."""

__all__ = ["EngineIdentity", "EngineRecord", "Origin", "arch_name", "check_fits"]

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lossrt.errors import BackendError
from lossrt.runtime.build_log import EngineCost
from lossrt.runtime.job import BackendName
from lossrt.runtime.profiles import InputRange


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the ONNX model comes from, for its engine's JSON.

    Attributes:
        recipe: Name of the recipe, or of a user's graph.
        recipe_sha256: SHA-256 of the whole recipe; None for a user's graph.
        target: The platform that it was exported for.
    """

    recipe: str | None = None
    recipe_sha256: str | None = None
    target: str | None = None


class EngineIdentity(BaseModel):
    """What an engine is reused by. Two equal identities give byte-identical engines from TensorRT for RTX.

    Attributes:
        graph: Graph name.
        precision: Type of the graph's maps, for example `fp32`.
        variant: What sets it apart from other engines of that graph, for example `b1`; None for the graph as exported.
        onnx_sha256: SHA-256 of the ONNX model.
        recipe: Name of the recipe, or of a user's graph; None where it is not known.
        recipe_sha256: SHA-256 of the whole recipe.
        target: The platform that the model was exported for.
        backend: Which compiler.
        backend_version: Its version.
        adapter: Version of our way to drive it.
        compute_capability: The GPU that it was built for.
        platform: Operating system and processor of the machine that built it.
        profile: Shapes of every input with an open dimension: minimum, optimum, maximum.
        workspace_bytes: Limit on scratch memory; None: none.
        plugins: SHA-256 of the user's plugin libraries, in the order given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    graph: str
    precision: str
    variant: str | None = None
    onnx_sha256: str
    recipe: str | None = None
    recipe_sha256: str | None = None
    target: str | None = None
    backend: BackendName
    backend_version: str
    adapter: int
    compute_capability: str
    platform: str
    profile: dict[str, InputRange]
    workspace_bytes: int | None = None
    plugins: tuple[str, ...] = ()

    @property
    def arch(self) -> str:
        """The GPU's architecture as file names have it, for example `sm89`."""
        return arch_name(self.compute_capability)

    @property
    def file(self) -> str:
        """File name of the engine."""
        variant = f".{self.variant}" if self.variant else ""
        return f"{self.graph}.{self.precision}{variant}.{self.backend}-{self.arch}.engine"


class EngineRecord(BaseModel):
    """The JSON beside an engine.

    Attributes:
        schema_version: Version of this layout.
        identity: What decides which engine comes out.
        flags: Flags that the compiler was given, where its version has them.
        engine_sha256: SHA-256 of the engine.
        bytes: Size of the engine.
        build_s: Seconds that the compiler took.
        cost: Kernels with their ONNX nodes, and memory; None where the log could not be read, and only on TensorRT.
        cost_unknown: Why there is no cost.
        log: File name of the build log beside the engine, if it was kept.
        machine: Which machine wrote this (`lossrt.runtime.environment.machine_id`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    identity: EngineIdentity
    flags: tuple[str, ...]
    engine_sha256: str
    bytes: int
    build_s: float
    cost: EngineCost | None
    cost_unknown: str | None = None
    log: str | None = None
    machine: str


def arch_name(compute_capability: str) -> str:
    """Return the architecture of a compute capability as file names have it: `8.9` gives `sm89`."""
    return f"sm{compute_capability.replace('.', '')}"


def check_fits(record: EngineRecord, *, compute_capability: str, version: str, name: str) -> None:
    """Refuse an engine that was built for another GPU, or by another version of the compiler, than this machine has.

    Args:
        record: The engine's record.
        compute_capability: Of this machine's GPU.
        version: Of the backend installed here.
        name: What messages call the engine.

    Raises:
        BackendError: It was.
    """
    identity = record.identity
    if identity.compute_capability != compute_capability:
        raise BackendError(
            f"{name}: built for compute capability {identity.compute_capability}, and this GPU has {compute_capability}; "
            f"run `lossrt build BUNDLE --backend {identity.backend} --compute-capability {compute_capability}`"
        )
    if identity.backend_version != version:
        raise BackendError(
            f"{name}: built by {identity.backend} {identity.backend_version}, and {version} is installed here; an engine "
            "loads only into its own version: run `lossrt build BUNDLE` again"
        )
