"""A bundle as a folder, and the check that every file in it has the digest that the manifest gives it."""

__all__ = ["OWN", "Bundle", "parse_manifest", "verify_folder"]

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from lossrt.bundle.case import Case
from lossrt.bundle.files import file_digest
from lossrt.bundle.manifest import COVERED, MANIFEST, GraphEntry, Manifest
from lossrt.bundle.names import unfit_name
from lossrt.errors import InputError

OWN = ("engines", "reports")
"""What lies in a bundle's folder beside what its manifest covers: made on this machine, and made anew on the next."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle whose digests matched.

    Attributes:
        root: Its folder; for a packed bundle a private one that is removed when the program ends.
        manifest: Its manifest.
        bundle_id: SHA-256 of the manifest file.
        packed_file: The file that it was unpacked from; None for a folder.
        out: Folder below which its engines lie; None: `root`. A packed bundle has no place for them of its own.
    """

    root: Path
    manifest: Manifest
    bundle_id: str
    packed_file: Path | None = None
    out: Path | None = None

    @property
    def packed(self) -> bool:
        """True where the bundle came as one file."""
        return self.packed_file is not None

    @property
    def source(self) -> Path:
        """What the user gave: the folder or the packed file, for messages."""
        return self.packed_file or self.root

    @property
    def engines(self) -> Path:
        """The folder of its engines; it may be missing.

        Raises:
            InputError: The bundle is packed, and `out` does not say where they are to lie.
        """
        if self.packed and self.out is None:
            raise InputError(f"bundle '{self.source}': packed, so that its engines lie elsewhere: pass --engines DIR")
        return (self.out or self.root) / "engines"

    def entry(self, graph: str) -> GraphEntry:
        """Return the manifest's entry of `graph`.

        Raises:
            InputError: The bundle has no graph of that name.
        """
        if graph not in self.manifest.graphs:
            raise InputError(f"graph '{graph}': not in bundle {self.source}; it has: {', '.join(self.manifest.graphs)}")
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

    def case(self, graph: str, precision: str, name: str) -> Case:
        """Return a golden case, its inputs read from the graph that lends them.

        Raises:
            InputError: The bundle has no graph of that name, or a file is damaged.
        """
        case = Case.load(self.case_path(graph, precision, name))
        lender = self.entry(graph).inputs_of
        if lender is None:
            return case
        return replace(case, input=Case.load(self.case_path(lender, precision, name)).input)

    def cases(self, graph: str, precision: str) -> Iterator[Case]:
        """Yield the golden cases of a graph, one in memory at a time."""
        for name in self.entry(graph).cases[precision]:
            yield self.case(graph, precision, name)


def parse_manifest(raw: bytes, *, path: Path | str) -> Manifest:
    """Read a manifest.

    Args:
        raw: The file's bytes.
        path: Where it lies, for messages.

    Raises:
        InputError: It is malformed, or of another version.
    """
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise InputError(f"manifest '{path}': {where}: {first['msg']}; export again with this version") from error


def verify_folder(root: Path, manifest: Manifest, *, source: Path) -> None:
    """Check that a folder holds what its manifest says, and nothing else but `engines` and `reports`.

    Args:
        root: The folder.
        manifest: Its manifest.
        source: What the user gave, for messages.

    Raises:
        InputError: A file is missing, changed, unknown or elsewhere.
    """
    for name, digest in manifest.files.items():
        if unfit_name(name):
            raise InputError(
                f"bundle '{source}': file '{name}': a manifest may only name files below {', '.join(COVERED)}"
            )
        path = root / name
        if path.resolve() != root.resolve() / name or not path.is_file():
            raise InputError(f"bundle '{source}': file '{name}': in the manifest, but missing; copy the bundle again")
        if file_digest(path) != digest:
            raise InputError(
                f"bundle '{source}': file '{name}': its SHA-256 is not the manifest's; it was changed after export: copy the bundle again or export again"
            )
    for name in sorted(_named_files(manifest) - set(manifest.files)):
        raise InputError(f"bundle '{source}': file '{name}': expected among the manifest's files; export again")
    known = {MANIFEST, *COVERED, *OWN}
    if strangers := sorted(path.name for path in root.iterdir() if path.name not in known):
        raise InputError(
            f"bundle '{source}': '{strangers[0]}': expected nothing beside {', '.join(sorted(known))}; move it elsewhere"
        )
    present = {p.relative_to(root).as_posix() for part in COVERED for p in (root / part).rglob("*") if not p.is_dir()}
    if unknown := sorted(present - set(manifest.files)):
        raise InputError(f"bundle '{source}': file '{unknown[0]}': not in the manifest; remove it or export again")


def _named_files(manifest: Manifest) -> set[str]:
    """Return the files that the manifest's graphs speak of, each of which needs a digest."""
    names = set()
    for graph, entry in manifest.graphs.items():
        names |= {f"graphs/{graph}.{precision}.onnx" for precision in entry.precisions}
        names |= {f"cases/{graph}.{kind}/{case}.safetensors" for kind, group in entry.cases.items() for case in group}
    return names
