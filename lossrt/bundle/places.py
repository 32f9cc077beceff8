"""Where a verb may write: nowhere that takes away what it reads, or what another of its outputs is."""

__all__ = ["check_outputs"]

from collections.abc import Mapping
from pathlib import Path

from lossrt.bundle.folder import OWN, Bundle
from lossrt.errors import InputError


def check_outputs(
    outputs: Mapping[str, Path | None],
    *,
    folders: Mapping[str, Path | None] | None = None,
    kept: Mapping[str, Path | None] | None = None,
    bundle: Bundle | None = None,
) -> None:
    """Check every place that a verb is going to write to, before it does any work.

    Args:
        outputs: Files by the option that names them; None where it was not given.
        folders: Folders by option, likewise; what lies in them stays.
        kept: What has to stay as it is, by what messages call it: a file, or a folder whose files are read.
        bundle: The bundle that is read; only below its `engines` and `reports` may anything be written.

    Raises:
        InputError: A file's place is a folder, or a folder's a file; it is, or lies in, something that is read; or two
            options name the same place.
    """
    files = {option: path for option, path in outputs.items() if path is not None}
    whole = {option: path for option, path in (folders or {}).items() if path is not None}
    for option, path in files.items():
        _check_file(option, path)
        for what, read in (kept or {}).items():
            if read is not None and _takes_away(path, read):
                raise InputError(
                    f"{option} '{path}': expected a place of its own, got one that the {what} '{read}' needs; choose another"
                )
    for option, path in whole.items():
        if path.exists() and not path.is_dir():
            raise InputError(f"{option} '{path}': expected a folder or nothing there, got a file; choose another")
        _check_above(option, path)
    both = files | whole
    for option, path in both.items():
        if bundle is not None:
            _check_bundle(option, path, bundle)
        for other, place in both.items():
            if other != option and path.resolve() == place.resolve():
                raise InputError(f"{option} '{path}': expected a place of its own, got that of {other}; choose another")


def _check_file(option: str, path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{option} '{path}': expected a file or nothing there, got a folder; name a file in it")
    _check_above(option, path)


def _check_above(option: str, path: Path) -> None:
    above = next((folder for folder in path.parents if folder.exists()), None)
    if above is not None and not above.is_dir():
        raise InputError(f"{option} '{path}': '{above}' is a file, so that nothing can lie below it; choose another")


def _takes_away(path: Path, read: Path) -> bool:
    """Say whether writing to `path` would replace a file that is read."""
    if read.is_dir():
        return path.is_file() and read.resolve() in path.resolve().parents
    return path.resolve() == read.resolve() or (path.exists() and read.exists() and path.samefile(read))


def _check_bundle(option: str, path: Path, bundle: Bundle) -> None:
    place = path.resolve()
    if bundle.packed_file is not None and _takes_away(path, bundle.packed_file):
        raise InputError(f"{option} '{path}': is the packed bundle itself, and would be gone; choose another")
    root = bundle.root.resolve()
    if place.is_relative_to(root) and not any(place.is_relative_to(root / name) for name in OWN):
        raise InputError(
            f"{option} '{path}': lies in the bundle '{bundle.source}', which would not be whole any more; choose a place "
            "outside it"
        )
