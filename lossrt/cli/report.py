"""`lossrt report`: the documents of a report, made again from report.json."""

__all__ = ["report"]

from pathlib import Path
from typing import Annotated

import typer

from lossrt.cli import console


def report(
    source: Annotated[Path, typer.Argument(help="A bundle, or a report.json.", metavar="BUNDLE|REPORT")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder of the documents; beside report.json.")
    ] = None,
) -> None:
    """Write the documents of a report again from its report.json."""
    from lossrt.validators.documents import write_documents
    from lossrt.validators.overview import summary_line
    from lossrt.validators.report import read_report

    path = source if source.suffix == ".json" else source / "reports" / "report.json"
    loaded = read_report(path)
    for document in write_documents(loaded, out or path.parent):
        console.say(f"wrote {document}")
    console.say(summary_line(loaded))
