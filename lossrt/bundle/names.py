"""Which names the files of a bundle may have: only such as stay inside its folder."""

__all__ = ["unfit_name"]

from pathlib import PurePosixPath

from lossrt.bundle.manifest import COVERED


def unfit_name(name: str) -> str:
    """Say why a file of that name cannot belong to a bundle; empty where it can.

    A name that some tool would read differently is unfit as well: `graphs//x` and `graphs/./x` are `graphs/x` to most.
    """
    parts = name.split("/")
    if parts[0] not in COVERED or len(parts) < 2:
        return f"only files below {', '.join(COVERED)} belong to a bundle"
    if ".." in parts or "\\" in name or PurePosixPath(name).as_posix() != name:
        return "the name leaves its folder, or can be read in two ways"
    if not name.isprintable() or max(len(part.encode("utf-8", "replace")) for part in parts) > 255:
        return "the name is no name of a file"
    return ""
