"""The folder that travels: graphs, golden cases, and a manifest with the digest of every file.

The torch side writes it once; everything after it needs only numpy, onnx and a runtime. The manifest covers
`graphs/`, `baselines/` and `cases/`; engines and reports are made later and carry their own identity.
"""

__all__ = [
    "SCHEMA",
    "Bundle",
    "Case",
    "GraphEntry",
    "Manifest",
    "file_digest",
    "open_bundle",
    "replace_file",
    "write_bundle",
]

import ctypes
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import save

from lossrt.arrays import read_arrays
from lossrt.errors import InputError, StorageError
from lossrt.recipe import Recipe
from lossrt.spec import GraphSpec

SCHEMA = 1
COVERED = ("graphs", "baselines", "cases")
_SECTIONS: tuple[Literal["input", "reference", "oracle", "scale", "terms"], ...] = (
    "input",
    "reference",
    "oracle",
    "scale",
    "terms",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One golden case: inputs as deployed, and what they must give.

    Attributes:
        name: Case name, for example `nominal`.
        input: Arrays by wire name.
        reference: PyTorch's fp32 results by output; empty where there is no PyTorch result.
        oracle: Results in float64 by output.
        scale: Σ|terms| of each output, float64, in the output's unit.
        terms: Number of terms summed into each output.
    """

    name: str
    input: dict[str, NDArray[Any]]
    reference: dict[str, NDArray[Any]] = field(default_factory=dict)
    oracle: dict[str, NDArray[Any]] = field(default_factory=dict)
    scale: dict[str, NDArray[Any]] = field(default_factory=dict)
    terms: dict[str, NDArray[Any]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the case as safetensors, keys `<section>/<name>`."""
        tensors = {
            f"{section}/{name}": np.asarray(array, order="C")  # safetensors writes the buffer as it lies
            for section in _SECTIONS
            for name, array in getattr(self, section).items()
        }
        replace_file(path, save(tensors))

    @classmethod
    def load(cls, path: Path) -> "Case":
        """Read a case.

        Raises:
            InputError: The file is not safetensors, or has a key outside the five sections.
        """
        tensors = read_arrays(path, what="case")
        sections: dict[str, dict[str, NDArray[Any]]] = {section: {} for section in _SECTIONS}
        for key, array in tensors.items():
            section, _, name = key.partition("/")
            if section not in sections or not name:
                raise InputError(f"case '{path}': key '{key}': expected {'|'.join(_SECTIONS)}/<name>; export again")
            sections[section][name] = array
        return cls(name=path.name.removesuffix(".safetensors"), **sections)


class GraphEntry(BaseModel):
    """One graph of a bundle: its signature, the precisions it comes in, and its cases by precision.

    Attributes:
        spec: Names, types, dimensions and legal values.
        precisions: Names of the types that its maps come in, `fp32` first.
        cases: Case names by precision.
        oracle: `float64` where the torch-free oracle knows the graph, `self` where the module's own float64 run stands in.
        exempt: Inputs that have one legal value, so that no output can show that they are used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: GraphSpec
    precisions: tuple[str, ...]
    cases: dict[str, tuple[str, ...]]
    oracle: Literal["float64", "self"] = "float64"
    exempt: tuple[str, ...] = ()


class Manifest(BaseModel):
    """`manifest.json`: what the bundle holds, how it was made, and the digest of every file it covers.

    Attributes:
        schema_version: Version of this layout.
        name: Name of the recipe, or of a user's graph.
        recipe: The recipe, whole; None for a user's graph.
        target: The platform that the graphs were exported for.
        gather: How the gather is written: `function`, `inline` or `flat`; `function, inlined` where the platform has no functions.
        dynamic: Named dimensions left open.
        annotations: Where the nominal case comes from: the sequence's name, or `generated`.
        seed: Seed of everything random in the cases.
        graphs: The graphs by name.
        tools: Versions of what made the bundle.
        files: SHA-256 by path below the bundle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: str
    recipe: Recipe | None
    target: str
    gather: str
    dynamic: tuple[str, ...]
    annotations: str
    seed: int
    graphs: dict[str, GraphEntry]
    tools: dict[str, str]
    files: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle whose digests matched.

    Attributes:
        root: Its folder.
        manifest: Its manifest.
        bundle_id: SHA-256 of the manifest file.
    """

    root: Path
    manifest: Manifest
    bundle_id: str

    def entry(self, graph: str) -> GraphEntry:
        """Return the manifest's entry of `graph`.

        Raises:
            InputError: The bundle has no graph of that name.
        """
        if graph not in self.manifest.graphs:
            raise InputError(f"graph '{graph}': not in bundle {self.root}; it has: {', '.join(self.manifest.graphs)}")
        return self.manifest.graphs[graph]

    def graph_path(self, graph: str, precision: str) -> Path:
        """Return the path of a graph's ONNX file."""
        return self.root / "graphs" / f"{graph}.{precision}.onnx"

    def baseline_path(self, precision: str) -> Path:
        """Return the path of upstream's formulation."""
        return self.root / "baselines" / f"upstream.{precision}.onnx"

    def case_path(self, graph: str, precision: str, case: str) -> Path:
        """Return the path of a golden case."""
        return self.root / "cases" / f"{graph}.{precision}" / f"{case}.safetensors"

    def cases(self, graph: str, precision: str) -> Iterator[Case]:
        """Yield the golden cases of a graph, one in memory at a time."""
        for name in self.entry(graph).cases[precision]:
            yield Case.load(self.case_path(graph, precision, name))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def open_bundle(root: Path) -> Bundle:
    """Open a bundle, checking every digest before anything but the manifest is parsed.

    Args:
        root: The bundle's folder.

    Raises:
        InputError: There is no bundle, its manifest is malformed, or a file is missing, changed or unknown.
    """
    path = root / "manifest.json"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"bundle '{root}': expected a manifest.json in it; make one with `lossrt export -o {root}`"
        ) from error
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise InputError(f"manifest '{path}': {where}: {first['msg']}; export again with this version") from error
    _verify(root, manifest)
    return Bundle(root=root, manifest=manifest, bundle_id=hashlib.sha256(raw).hexdigest())


def _verify(root: Path, manifest: Manifest) -> None:
    for name, digest in manifest.files.items():
        parts = PurePosixPath(name).parts
        if not parts or parts[0] not in COVERED or ".." in parts or "\\" in name:
            raise InputError(
                f"bundle '{root}': file '{name}': a manifest may only name files below {', '.join(COVERED)}"
            )
        path = root / name
        if path.resolve() != root.resolve() / name or not path.is_file():
            raise InputError(f"bundle '{root}': file '{name}': in the manifest, but missing; copy the bundle again")
        if file_digest(path) != digest:
            raise InputError(
                f"bundle '{root}': file '{name}': its SHA-256 is not the manifest's; it was changed after export: copy the bundle again or export again"
            )
    for name in sorted(_named_files(manifest) - set(manifest.files)):
        raise InputError(f"bundle '{root}': file '{name}': expected among the manifest's files; export again")
    present = {p.relative_to(root).as_posix() for part in COVERED for p in (root / part).rglob("*") if not p.is_dir()}
    if unknown := sorted(present - set(manifest.files)):
        raise InputError(f"bundle '{root}': file '{unknown[0]}': not in the manifest; remove it or export again")


def _named_files(manifest: Manifest) -> set[str]:
    """Return the files that the manifest's graphs speak of, each of which needs a digest."""
    names = set()
    for graph, entry in manifest.graphs.items():
        names |= {f"graphs/{graph}.{precision}.onnx" for precision in entry.precisions}
        names |= {f"cases/{graph}.{kind}/{case}.safetensors" for kind, group in entry.cases.items() for case in group}
    return names


def write_bundle(root: Path, fill: Callable[[Path], Manifest], *, keep: tuple[str, ...] = ("engines",)) -> Bundle:
    """Write a bundle beside its place and move it there whole.

    Args:
        root: Where the bundle is to lie; an older bundle there is replaced.
        fill: Writes graphs, baselines and cases below the folder it is given and returns the manifest without digests.
        keep: Folders of the older bundle that are carried over; each of their files must prove itself by its own digest.

    Raises:
        InputError: `root` exists and is not a bundle.
        StorageError: The disk refused.
    """
    if root.exists() and not _is_bundle(root) and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"output '{root}': exists and is not a bundle; choose another folder with -o, or remove it")
    place = root.resolve()  # through a link, and with a name where `root` is `.`
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise StorageError(f"output '{root}': cannot be written: {error}") from error
    try:
        scratch.chmod(0o755)
        manifest = fill(scratch)
        files = {p.relative_to(scratch).as_posix(): file_digest(p) for p in sorted(scratch.rglob("*")) if p.is_file()}
        manifest = manifest.model_copy(update={"files": files})
        text = manifest.model_dump_json(by_alias=True, indent=1)
        replace_file(scratch / "manifest.json", text.encode())
        for folder in keep:
            if (place / folder).is_dir():
                shutil.copytree(place / folder, scratch / folder)
        _swap(scratch, place)
    except OSError as error:
        raise StorageError(f"output '{root}': writing failed: {error}; free space or choose another folder") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Bundle(root=root, manifest=manifest, bundle_id=hashlib.sha256(text.encode()).hexdigest())


def _is_bundle(root: Path) -> bool:
    """Tell whether a folder holds a bundle of any version: many a program calls a file of its own manifest.json."""
    try:
        manifest = json.loads((root / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"schema", "recipe", "graphs", "files"} <= manifest.keys()


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` beside `path` and move it into place, so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _swap(new: Path, place: Path) -> None:
    """Put the folder `new` at `place`; what was there ends up at `new`. One system call where the kernel has it."""
    if not place.exists():
        new.rename(place)
        return
    at_fdcwd, rename_exchange = -100, 2
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if exchange and exchange(at_fdcwd, os.fsencode(new), at_fdcwd, os.fsencode(place), rename_exchange) == 0:
        return
    old = new.with_name(f"{new.name}.old")
    place.rename(old)
    new.rename(place)
    old.rename(new)
