"""The ways in which a user's request can fail, each with the exit code that the command line gives it.

A failed comparison is not here: it is data (`lossrt.validators.tolerances.Verdict`), and a verb exits with 1 for it.
Anything else that escapes is a bug of ours, exit code 70.
"""

__all__ = ["BackendError", "InputError", "LossrtError", "StorageError", "nearest"]

import difflib
from collections.abc import Iterable
from typing import ClassVar


class LossrtError(Exception):
    """Base of every error that is reported as one message, without a traceback."""

    exit_code: ClassVar[int] = 70


class InputError(LossrtError):
    """Wrong use or bad input: the message names the object, what was expected, what came, what to do next."""

    exit_code = 2


class BackendError(LossrtError):
    """The environment cannot do it: a backend is missing or an engine build failed."""

    exit_code = 3


class StorageError(LossrtError):
    """Reading or writing failed below us: a full disk, a missing permission."""

    exit_code = 74


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the known word nearest to `word`, then all of them.

    Args:
        word: What the user wrote.
        known: The words that are valid there.

    Returns:
        For example `did you mean 'max_objs'? valid: batch, max_objs`.
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}valid: {', '.join(names)}"
