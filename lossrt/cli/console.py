"""What people see: progress on standard error, results on standard output."""

__all__ = ["note", "progress_bar", "say", "show", "show_json", "warn"]

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

Step = Callable[[str, int, int], None]
PAGE = 160
"""Columns of standard output where it is a file or a pipe, which have no width."""


@contextmanager
def progress_bar(title: str) -> Iterator[Step]:
    """Show a progress bar on standard error and yield the function that moves it: (what, done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.fields[title]}"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", title=title, total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)


def say(message: str) -> None:
    """Print a result."""
    print(message)


def show(view: "RenderableType") -> None:
    """Print tables as a result: as wide as the terminal, or as COLUMNS says, or `PAGE`."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PAGE).print(view)


def note(message: str) -> None:
    """Print what is not a result on standard error."""
    print(message, file=sys.stderr)


def warn(message: str) -> None:
    """Print a warning on standard error."""
    print(f"lossrt: warning: {message}", file=sys.stderr)


def show_json(data: Any) -> None:
    """Print data as JSON; numbers that JSON lacks as "nan", "inf" and "-inf", as in report.json."""
    print(json.dumps(_finite(data), indent=1, ensure_ascii=False, allow_nan=False))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    return data
