"""Ctrl-C where a verb can stop in good order."""

__all__ = ["INTERRUPTED", "interruptible"]

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit code, as shells have it: 128 and the number of the signal."""


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether the user pressed Ctrl-C; a second one breaks the work off."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
