"""How every verb opens the bundle it was given, a folder or a packed file, and where it may write."""

__all__ = ["opened", "report_folder"]

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lossrt.bundle import Bundle


def opened(
    path: Path,
    *,
    trust: Sequence[str] | None = None,
    libraries: Iterable[Path] = (),
    out: Path | None = None,
    engines: Path | None = None,
    writes: str = "",
) -> "Bundle":
    """Open a bundle. Every value of --trust that is no library's and no engine's digest has to be the bundle's id.

    Args:
        path: The folder, or a packed file.
        trust: What --trust was given.
        libraries: Libraries that the verb loads, trusted already.
        out: What --out was given: engines of a packed bundle lie below it, those of a folder where it holds some.
        engines: What --engines was given: engines lie below it.
        writes: What the verb leaves in the bundle's folder, such as `reports`; it needs `out` where that is packed.

    Raises:
        InputError: As `lossrt.bundle.open_bundle`, or a packed bundle lacks an `out`.
        StorageError: As `lossrt.bundle.open_bundle`.
    """
    from lossrt.bundle import is_packed, open_bundle
    from lossrt.errors import InputError

    if writes and out is None and is_packed(path):
        raise InputError(f"bundle '{path}': packed, so that its {writes} need a folder of their own: pass --out DIR")
    folders = [folder for folder in (engines, out, path) if folder is not None]
    code = _digests([*libraries, *(engine for folder in folders for engine in _engines(folder))]) if trust else set()
    expected = tuple(value for value in trust or () if value.lower() not in code)
    elsewhere = out is not None and (is_packed(path) or (out / "engines").is_dir())
    return open_bundle(path, trust=expected, out=engines or (out if elsewhere else None))


def report_folder(bundle: "Bundle", out: Path | None) -> Path:
    """Return where a bundle's reports lie: `out` itself, or the bundle's own `reports`."""
    return bundle.root / "reports" if out is None else out


def _engines(folder: Path) -> Iterator[Path]:
    yield from sorted((folder / "engines").glob("*.engine"))


def _digests(paths: Iterable[Path]) -> set[str]:
    """Return the digests of code. A manifest put where an engine belongs is none: its digest is an id."""
    from lossrt.bundle import file_digest

    found = set()
    for path in paths:
        with path.open("rb") as stream:
            manifest = stream.read(256).lstrip()[:1] in (b"{", b"")
        if not manifest:
            found.add(file_digest(path))
    return found
