"""Writing a bundle beside its place and moving it there whole."""

__all__ = ["write_bundle"]

import ctypes
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lossrt.bundle.files import file_digest, replace_file
from lossrt.bundle.folder import Bundle
from lossrt.bundle.manifest import Manifest
from lossrt.errors import InputError, StorageError


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
