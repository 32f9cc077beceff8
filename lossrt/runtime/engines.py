"""Engines on disk, each with a JSON beside it that says what built it, from what, and at which cost."""

__all__ = ["build_engine", "load_engine", "read_records", "reusable_engine"]

import hashlib
import os
import platform
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from lossrt.bundle import file_digest, replace_file
from lossrt.errors import BackendError, InputError, StorageError
from lossrt.runtime.build_log import EngineCost, parse_build_log
from lossrt.runtime.compiler import Compiled, backend_version, checked_capability, choose_backend, compile_onnx
from lossrt.runtime.engine_record import EngineIdentity, EngineRecord, Origin
from lossrt.runtime.environment import machine_id
from lossrt.runtime.job import BackendName
from lossrt.runtime.onnx_model import parse_model, read_model
from lossrt.runtime.profiles import ProfileRange, profile_inputs

ADAPTER = 1
"""To be raised whenever the adapter builds differently from the same request, so that older engines are not reused."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The files of one engine."""

    engine: Path

    @property
    def record(self) -> Path:
        return self.engine.with_suffix(".json")

    @property
    def log(self) -> Path:
        return self.engine.with_suffix(".log")


def build_engine(
    model: Path | bytes,
    *,
    out_dir: Path,
    graph: str,
    precision: str,
    variant: str | None = None,
    origin: Origin | None = None,
    backend: str | None = None,
    compute_capability: str | None = None,
    profile: Mapping[str, ProfileRange] | None = None,
    workspace_bytes: int | None = None,
    plugins: Sequence[Path] = (),
    keep_log: bool = False,
    trust: Collection[str] = (),
    progress: Callable[[str], None] | None = None,
) -> EngineRecord:
    """Build `<graph>.<precision>.<backend>-<arch>.engine` and the JSON beside it, or reuse them where they still hold.

    Args:
        model: Path of the ONNX file, or its bytes.
        out_dir: Where the engine is to lie; made where it is missing.
        graph: Graph name, a part of the file name.
        precision: Type of the graph's maps, a part of the file name.
        variant: Sets apart engines of one graph, as `<graph>.<precision>.<variant>.…`; None for the graph as exported.
        origin: Recipe and target of the model, for the JSON.
        backend: `tensorrt` or `rtx`; None chooses (see `lossrt.runtime.compiler.choose_backend`).
        compute_capability: The GPU to build for, such as `8.9`; None: the GPU of this machine.
        profile: Sizes of every open dimension, by name.
        workspace_bytes: Scratch memory that the engine may use at most: the build fails above it.
        plugins: The user's plugin libraries, trusted already (`lossrt.runtime.libraries`).
        keep_log: Keep the verbose build log beside the engine.
        trust: SHA-256 digests of engines from other machines that may be reused; without theirs they are built again.
        progress: Told the compiler's latest step now and then.

    Returns:
        What stands in the JSON. The engine is `out_dir / record.identity.file`.

    Raises:
        InputError: The model or an argument is wrong (see `lossrt.runtime.compiler.compile_onnx`).
        BackendError: The compiler is missing or fails, or its log cannot be read.
        StorageError: The disk refused.
    """
    where = f"graph '{graph}.{precision}'" if isinstance(model, bytes) else f"ONNX model '{model}'"
    content = model if isinstance(model, bytes) else read_model(model)
    proto = parse_model(content, where=where)
    compiler, source = choose_backend(backend), origin or Origin()
    identity = EngineIdentity(
        graph=_checked_name(graph),
        precision=_checked_name(precision),
        variant=_checked_name(variant) if variant else None,
        onnx_sha256=hashlib.sha256(content).hexdigest(),
        recipe=source.recipe,
        recipe_sha256=source.recipe_sha256,
        target=source.target,
        backend=compiler,
        backend_version=backend_version(compiler),
        adapter=ADAPTER,
        compute_capability=checked_capability(compiler, compute_capability),
        platform=f"{platform.system()} {platform.machine()}",
        profile=profile_inputs(proto, profile or {}, where=where),
        workspace_bytes=workspace_bytes,
        plugins=tuple(file_digest(path) for path in plugins),
    )
    if (found := reusable_engine(out_dir, identity, with_log=keep_log, trust=trust)) is not None:
        return found
    compiled = compile_onnx(
        content,
        backend=identity.backend,
        compute_capability=identity.compute_capability,
        profile=profile,
        workspace_bytes=workspace_bytes,
        plugins=plugins,
        timing_cache=_timing_cache(identity),
        name=where,
        progress=progress,
    )
    return _store(_Place(out_dir / identity.file), identity, compiled, keep_log)


def reusable_engine(
    out_dir: Path, identity: EngineIdentity, *, with_log: bool = False, trust: Collection[str] = ()
) -> EngineRecord | None:
    """Return the record of an engine that building again would only repeat; None where there is none.

    Args:
        out_dir: Where engines lie.
        identity: The engine that is wanted.
        with_log: Ask for its log as well.
        trust: SHA-256 digests of engines from other machines that may be reused.
    """
    record = _sound_record(_Place(out_dir / identity.file).record)
    if record is None or record.identity != identity:
        return None
    if record.machine != machine_id() and record.engine_sha256 not in trust:
        return None
    return None if with_log and not (record.log and (out_dir / record.log).is_file()) else record


def read_records(folder: Path) -> list[EngineRecord]:
    """Return the records of the engines in a folder, by file name; engines that their JSON does not fit are left out.

    Args:
        folder: Where engines lie; it may be missing.
    """
    records = (_sound_record(path) for path in sorted(folder.glob("*.json")))
    return [record for record in records if record is not None]


def load_engine(path: Path, *, trust: Collection[str] = ()) -> tuple[bytes, EngineRecord]:
    """Read an engine to run it, if it is the one that its JSON records and comes from here or is trusted by digest.

    An engine is code: whoever can swap the file can run what he likes.

    Args:
        path: The engine.
        trust: SHA-256 digests of engines that were built on other machines, known to the user from elsewhere.

    Returns:
        The engine and its record.

    Raises:
        InputError: The engine or its JSON is missing or malformed, its digest is another, or it was built elsewhere.
    """
    place = _Place(path)
    try:
        content = path.read_bytes()
        record = EngineRecord.model_validate_json(place.record.read_bytes())
    except (OSError, ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"engine '{path}': expected the engine and the JSON beside it, got: {reason}; run `lossrt build`"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != record.engine_sha256:
        raise InputError(
            f"engine '{path}': expected SHA-256 {record.engine_sha256} as its JSON records, got {digest}; "
            "it was changed after the build: run `lossrt build` again"
        )
    if record.machine != machine_id() and digest not in trust:
        raise InputError(
            f"engine '{path}': built on another machine, and an engine is code: build it here with `lossrt build`, or "
            f"pass --trust {digest} after comparing it with the digest that its builder gave you"
        )
    return content, record


def _sound_record(path: Path) -> EngineRecord | None:
    """Read a record; None where it is malformed, or the engine beside it is another one."""
    try:
        record = EngineRecord.model_validate_json(path.read_bytes())
        return record if file_digest(path.parent / record.identity.file) == record.engine_sha256 else None
    except (OSError, ValidationError):
        return None


def _timing_cache(identity: EngineIdentity) -> Path | None:
    """Return the file that keeps measured times: the user's own, since a bundle that travels must not bring one."""
    if identity.backend == "rtx":
        return None
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return place / "lossrt" / f"timing-{identity.backend_version}-{identity.arch}.cache"


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name):
        raise InputError(f"engine name '{name}': expected letters, digits, '_' and '-' only; rename it")
    return name


def _store(place: _Place, identity: EngineIdentity, compiled: Compiled, keep_log: bool) -> EngineRecord:
    cost, unknown = _cost(compiled.log, identity.backend)
    record = EngineRecord(
        identity=identity,
        flags=compiled.flags,
        engine_sha256=hashlib.sha256(compiled.engine).hexdigest(),
        bytes=len(compiled.engine),
        build_s=round(compiled.build_s, 3),
        cost=cost,
        cost_unknown=unknown,
        log=place.log.name if keep_log else None,
        machine=machine_id(),
    )
    try:
        # The record last: until it is there, the digest of the older one rejects the new engine.
        if keep_log:
            replace_file(place.log, compiled.log.encode())
        replace_file(place.engine, compiled.engine)
        replace_file(place.record, record.model_dump_json(indent=1).encode())
    except OSError as error:
        raise StorageError(f"engine '{place.engine}': cannot be written: {error}; free space") from error
    return record


def _cost(log: str, backend: BackendName) -> tuple[EngineCost | None, str | None]:
    try:
        return parse_build_log(log), None
    except BackendError as error:
        # TensorRT before 10 words its log differently; its engine runs all the same. RTX is compiled for its cost.
        if backend == "rtx":
            raise
        return None, str(error)
