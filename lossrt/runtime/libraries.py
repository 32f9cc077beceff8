"""Libraries of a user's own operators: native code, loaded only where the user names its digest."""

__all__ = ["trusted_library"]

from collections.abc import Collection
from pathlib import Path

from lossrt.bundle import file_digest
from lossrt.errors import InputError


def trusted_library(path: Path, *, trust: Collection[str], option: str) -> Path:
    """Return the absolute path of a library whose digest is trusted; nothing of it has been run by then.

    Args:
        path: The shared library.
        trust: SHA-256 digests that the user vouches for, in hexadecimal.
        option: The option that names the library, for the message.

    Raises:
        InputError: The library is missing, or its digest is not among those.
    """
    try:
        digest = file_digest(path)
    except OSError as error:
        raise InputError(
            f"{option} '{path}': expected a shared library, got: {error.strerror or error}; check the path"
        ) from error
    if digest not in {entry.lower() for entry in trust}:
        given = f"got {', '.join(trust)}" if trust else "none was given"
        raise InputError(
            f"{option} '{path}': a library is code, so its SHA-256 has to be named: expected {digest}, {given}; compare "
            f"it with what its builder gave you, then pass --trust {digest}"
        )
    return path.resolve()
