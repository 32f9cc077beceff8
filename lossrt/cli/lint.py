"""`lossrt lint`: what each TensorRT parser does with an ONNX file, offline."""

__all__ = ["lint"]

from pathlib import Path
from typing import Annotated

import typer

from lossrt.cli import console
from lossrt.cli.options import JsonOption, names


def lint(
    model: Annotated[Path, typer.Argument(help="Any ONNX file.", metavar="MODEL.onnx")],
    target: Annotated[
        str,
        typer.Option(
            "--target", help="jetpack5, jetpack6.0, jetpack6, jetpack7, trt8.6, trt10.3, trt10.13, trt11, rtx or all."
        ),
    ] = "all",
    fix: Annotated[bool, typer.Option("--fix", help="Rewrite what can be rewritten for --target; needs -o.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where the rewritten model goes.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the findings as JUnit XML as well.")] = None,
    real_parser: Annotated[
        bool, typer.Option("--real-parser/--no-real-parser", help="For rtx, ask TensorRT for RTX itself as well.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Check a model against the rules of each target. Exit code 1 when one refuses it or computes wrong results."""
    from lossrt.bundle import check_outputs
    from lossrt.errors import InputError
    from lossrt.validators.lint.report import run_lint

    if fix != (out is not None):
        raise InputError("lint: expected --fix and -o OUT.onnx together; add the other")
    check_outputs({"--out": out, "--junit": junit}, kept={"model": model})
    if fix and out is not None:
        from lossrt.validators.lint.fix import fix_file

        for applied in fix_file(model, out, target=target):
            console.note(f"applied {applied}")
        model = out
    with console.progress_bar("lint") as progress:
        progress(model.name, 0, 1)
        report = run_lint(model, targets=names(target), real_parser=real_parser)
    if junit is not None:
        from lossrt.bundle import replace_file
        from lossrt.validators.lint.junit import junit_from_report

        replace_file(junit, junit_from_report(report).encode())
    if as_json:
        from lossrt.validators.lint.render import json_from_report

        console.say(json_from_report(report))
    else:
        from lossrt.validators.lint.render import table_from_report

        console.show(table_from_report(report))
    if report.failed:
        raise typer.Exit(1)
