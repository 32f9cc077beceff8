"""The metrics of a run as JSON Lines, that end up the same however often the run was stopped."""

__all__ = ["MetricsFile"]

from collections.abc import Iterable
from pathlib import Path

from lossrt.bundle import replace_file
from lossrt.errors import StorageError


class MetricsFile:
    """A file that grows by a line a measurement.

    Args:
        path: The file; what lies there is replaced when the run begins or goes on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, lines: Iterable[str]) -> None:
        """Write the lines up to where the run goes on; what a killed run wrote after its last checkpoint comes again.

        Raises:
            StorageError: The disk refused.
        """
        try:
            replace_file(self._path, "".join(lines).encode())
        except OSError as error:
            raise self._refused(error) from error

    def append(self, line: str) -> None:
        """Write a line.

        Raises:
            StorageError: The disk refused.
        """
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(line)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(
            f"metrics '{self._path}': cannot be written: {error.strerror or error}; free space, or choose another file with --metrics; the checkpoint is whole"
        )
