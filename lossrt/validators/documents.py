"""The documents that are made from report.json, all of them at once."""

__all__ = ["Documents", "write_documents"]

from dataclasses import dataclass
from pathlib import Path

from lossrt.bundle import replace_file
from lossrt.errors import StorageError
from lossrt.validators.html import html_report
from lossrt.validators.junit import junit_report
from lossrt.validators.markdown import markdown_report
from lossrt.validators.report import Report


@dataclass(frozen=True, slots=True)
class Documents:
    """What was written.

    Attributes:
        paths: The documents.
        left_out: Why `report.html` is not among them and what to do; None where it is.
    """

    paths: tuple[Path, ...]
    left_out: str | None


def write_documents(report: Report, folder: Path) -> Documents:
    """Write every document of a report into a folder: report.md, junit.xml and report.html.

    A device need not have what draws report.html. It is left out there, and so is an older one: it would contradict
    the others.

    Raises:
        StorageError: The disk refused.
    """
    documents = {"report.md": markdown_report(report), "junit.xml": junit_report(report)}
    page, left_out = _page(report)
    if page is not None:
        documents["report.html"] = page
    try:
        for name, text in documents.items():
            replace_file(folder / name, text.encode())
        if page is None:
            (folder / "report.html").unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"reports '{folder}': cannot be written: {error}; free space or choose another -o"
        ) from error
    return Documents(tuple(folder / name for name in documents), left_out)


def _page(report: Report) -> tuple[str | None, str | None]:
    try:
        return html_report(report), None
    except ImportError as error:
        how = "run `pip install jinja2 matplotlib` and then `lossrt report`, or make it elsewhere from report.json"
        return None, f"report.html: left out, since it needs Jinja2 and matplotlib ({error}); {how}"
