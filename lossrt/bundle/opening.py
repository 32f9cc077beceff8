"""Opening a bundle, the folder or the packed file, once everything about it has been checked."""

__all__ = ["open_bundle"]

import atexit
import hashlib
from collections.abc import Collection
from pathlib import Path

from lossrt.bundle.folder import Bundle, parse_manifest, verify_folder
from lossrt.bundle.manifest import MANIFEST
from lossrt.bundle.unpack import PackedFile
from lossrt.errors import InputError


def open_bundle(path: Path, *, trust: Collection[str] = (), out: Path | None = None) -> Bundle:
    """Open a bundle, checking every digest before anything but the manifest is parsed.

    A packed bundle is held to its own digest first, then to the one form that it may have, and is then extracted into
    a folder that only this user can enter and that is removed when the program ends.

    Args:
        path: The bundle's folder, or a file that `lossrt pack` wrote.
        trust: Ids, one of which the bundle must have; empty: any bundle. The id is compared before the manifest is
            parsed.
        out: Folder below which its engines lie; None: the bundle's own. A packed bundle has none of its own.

    Raises:
        InputError: There is no bundle, its manifest is malformed, its id is another than those, or a file is missing,
            changed or unknown; or the packed file is not as it was packed.
        StorageError: There is no room to unpack it.
    """
    if path.is_file():
        return _open_packed(path, trust, out)
    try:
        raw = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise InputError(
            f"bundle '{path}': expected a manifest.json in it; make one with `lossrt export -o {path}`"
        ) from error
    bundle_id = _checked_id(raw, path, trust)
    manifest = parse_manifest(raw, path=path / MANIFEST)
    verify_folder(path, manifest, source=path)
    return Bundle(root=path, manifest=manifest, bundle_id=bundle_id, out=out)


def _open_packed(path: Path, trust: Collection[str], out: Path | None) -> Bundle:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise InputError(f"bundle '{path}': cannot be read: {error.strerror}; check the path") from error
    with stream:
        packed = PackedFile(path, stream)
        raw = packed.manifest()
        bundle_id = _checked_id(raw, path, trust)
        manifest = parse_manifest(raw, path=f"{path}/{MANIFEST}")
        root = packed.extract(manifest.files)
    try:
        verify_folder(root.path, manifest, source=path)
    except BaseException:
        root.discard()
        raise
    atexit.register(root.discard)
    return Bundle(root=root.path, manifest=manifest, bundle_id=bundle_id, packed_file=path, out=out)


def _checked_id(raw: bytes, path: Path, trust: Collection[str]) -> str:
    bundle_id = hashlib.sha256(raw).hexdigest()
    if trust and bundle_id not in {entry.lower() for entry in trust}:
        raise InputError(
            f"bundle '{path}': expected id {' or '.join(trust)}, got {bundle_id}; this is not the bundle that --trust "
            "names: ask its sender for the id, or for the bundle"
        )
    return bundle_id
