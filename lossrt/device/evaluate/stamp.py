"""What tells a file from another version of it without reading it: thousands of frames are asked before the first."""

__all__ = ["stamp"]

from pathlib import Path


def stamp(path: Path) -> str:
    """Return a file's name, its size in bytes, and when it was last written, in nanoseconds."""
    facts = path.stat()
    return f"{path.name} {facts.st_size} {facts.st_mtime_ns}"
