"""Ctrl-C, and the signal that ends a service, where a verb can stop in good order."""

__all__ = ["INTERRUPTED", "Stop", "Terminated", "ending_in_order", "interruptible"]

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

INTERRUPTED = 130
"""Exit code, as shells have it: 128 and the number of the signal."""


class Terminated(SystemExit):
    """SIGTERM: what is open is closed on the way out, and the exit code is the one that a shell shows for it."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@dataclass(slots=True)
class Stop:
    """Says, when it is called, whether the work is to stop.

    Attributes:
        number: The signal that asked for it; None where none did.
    """

    number: int | None = None

    def __call__(self) -> bool:
        """Say whether a signal came."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal: 130 for Ctrl-C."""
        return 128 + (self.number or signal.SIGINT)


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Yield what says whether the user pressed Ctrl-C, or SIGTERM came; a second one breaks the work off."""
    stop = Stop()

    def ask(number: int, _frame: object) -> None:
        if stop():
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        stop.number = number

    with _handled(signal.SIGINT, ask), _handled(signal.SIGTERM, ask):
        yield stop


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Leave by `Terminated` on SIGTERM, so that nothing temporary stays behind."""

    def leave(_number: int, _frame: object) -> None:
        raise Terminated

    with _handled(signal.SIGTERM, leave):
        yield


@contextmanager
def _handled(number: int, handler: "signal._HANDLER") -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
