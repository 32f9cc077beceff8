"""The documents that are made from report.json, all of them at once."""

__all__ = ["write_documents"]

from pathlib import Path

from lossrt.bundle import replace_file
from lossrt.errors import StorageError
from lossrt.validators.markdown import markdown_report
from lossrt.validators.report import Report


def write_documents(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write every document of a report into a folder and return their paths.

    Raises:
        StorageError: The disk refused.
    """
    documents = {"report.md": markdown_report(report)}
    try:
        for name, text in documents.items():
            replace_file(folder / name, text.encode())
    except OSError as error:
        raise StorageError(
            f"reports '{folder}': cannot be written: {error}; free space or choose another -o"
        ) from error
    return tuple(folder / name for name in documents)
