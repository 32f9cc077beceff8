"""A bundle as a folder: opened only when every file has the digest that the manifest gives it."""

__all__ = ["Bundle", "open_bundle"]

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from lossrt.bundle.case import Case
from lossrt.bundle.files import file_digest
from lossrt.bundle.manifest import COVERED, GraphEntry, Manifest
from lossrt.errors import InputError


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
