"""`lossrt report`: the documents of a saved report, its results judged again, or two reports compared."""

__all__ = ["report"]

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import JsonOption, TrustOption

if TYPE_CHECKING:
    from lossrt.validators.report import Report


def report(
    source: Annotated[Path, typer.Argument(help="A bundle, or a report.json.", metavar="BUNDLE|REPORT")],
    other: Annotated[
        Path | None, typer.Argument(help="A second one: show what got worse in it.", metavar="OTHER")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Folder of the documents; beside report.json, or nowhere if judged again. Where a packed bundle's "
            "report.json lies.",
        ),
    ] = None,
    kappa: Annotated[
        float | None, typer.Option("--kappa", help="Judge again, allowing PyTorch's own error times this.")
    ] = None,
    lam: Annotated[
        float | None, typer.Option("--lambda", help="Judge again, allowing the sums' rounding error times this.")
    ] = None,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the documents of a report.json again, judge its results again, or compare two; nothing is run.

    Exit code 1 when a result that is judged again fails, or a verdict is worse in the second report.
    """
    from lossrt.bundle import is_packed
    from lossrt.errors import InputError

    packed = is_packed(source)
    first = _load_packed(source, out, trust, kappa, lam) if packed else _load(source, kappa, lam)
    if other is not None:
        if out is not None and not packed:
            raise InputError(f"--out {out}: a comparison is shown, not written; redirect --json into a file")
        _compare(first, _load(other, kappa, lam), as_json=as_json)
    elif kappa is None and lam is None:
        _write(first, out or _path(source).parent, quiet=as_json)
        _show(first, as_json=as_json)
    else:
        _keep(first, source, None if packed else out, quiet=as_json)
        _show(first, as_json=as_json, whole=True)
        if first.summary.fail:
            raise typer.Exit(1)


def _path(source: Path) -> Path:
    return source if source.suffix == ".json" else source / "reports" / "report.json"


def _load(source: Path, kappa: float | None, lam: float | None) -> "Report":
    from lossrt.errors import InputError
    from lossrt.validators.rejudge import rejudge
    from lossrt.validators.report import read_report

    path = _path(source)
    loaded = read_report(path)
    if kappa is None and lam is None:
        return loaded
    try:
        return rejudge(loaded, kappa=kappa, lam=lam)
    except InputError as error:
        raise InputError(f"report '{path}': {error}") from error


def _load_packed(
    source: Path, out: Path | None, trust: list[str] | None, kappa: float | None, lam: float | None
) -> "Report":
    from lossrt.errors import InputError

    bundle = opened(source, trust=trust, out=out, writes="reports")
    assert out is not None
    loaded = _load(out / "report.json", kappa, lam)
    if loaded.bundle_id != bundle.bundle_id:
        raise InputError(
            f"report '{out / 'report.json'}': expected that of bundle {bundle.bundle_id}, got one of "
            f"{loaded.bundle_id}; run `lossrt validate {source} --out {out}`"
        )
    return loaded


def _write(loaded: "Report", folder: Path, *, quiet: bool) -> None:
    from lossrt.validators.documents import write_documents

    written = write_documents(loaded, folder)
    for document in () if quiet else written.paths:
        console.say(f"wrote {document}")
    if written.left_out:
        console.warn(written.left_out)


def _keep(judged: "Report", source: Path, out: Path | None, *, quiet: bool) -> None:
    from lossrt.errors import InputError
    from lossrt.validators.report import write_report

    if out is None:
        return
    if out.resolve() == _path(source).parent.resolve():
        raise InputError(f"--out {out}: holds the verdicts of the run itself; choose another folder")
    write_report(out / "report.json", judged)
    _write(judged, out, quiet=quiet)


def _show(shown: "Report", *, as_json: bool, whole: bool = False) -> None:
    from lossrt.validators.overview import summary_line
    from lossrt.validators.table import report_view

    if as_json:
        console.say(shown.model_dump_json(by_alias=True, indent=1))
    elif whole:
        console.show(report_view(shown))
    else:
        console.say(summary_line(shown))


def _compare(before: "Report", after: "Report", *, as_json: bool) -> None:
    from lossrt.validators.compare import compare
    from lossrt.validators.compare_view import comparison_data, comparison_view

    found = compare(before, after)
    if as_json:
        console.show_json(comparison_data(found))
    else:
        console.show(comparison_view(found))
    if found.worse:
        raise typer.Exit(1)
