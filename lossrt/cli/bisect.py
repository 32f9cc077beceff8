"""`lossrt bisect`: the first node of a model that goes wrong."""

__all__ = ["bisect"]

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import BundleArgument, JsonOption, TrustOption, names


def bisect(
    bundle: BundleArgument,
    graph: Annotated[str, typer.Option("--graph", help="The graph that the model stands for.")],
    model: Annotated[Path, typer.Option("--model", help="The model under suspicion.")],
    precision: Annotated[str, typer.Option("--precision", help="Precision of the bundle's graph.")] = "fp32",
    case: Annotated[
        str | None, typer.Option("--case", help="Golden cases, separated by commas; all without it.")
    ] = None,
    backend: Annotated[str, typer.Option("--backend", help="ort or ort-cuda.")] = "ort",
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name the first node whose value leaves its tolerance against the bundle's graph. Exit code 1 when there is one."""
    from lossrt.errors import InputError, nearest
    from lossrt.runtime.onnx_model import parse_model, read_model
    from lossrt.runtime.ort import OrtSession
    from lossrt.validators.bisect import bisect as find_first

    if backend not in ("ort", "ort-cuda"):
        raise InputError(f"backend '{backend}': cannot mark tensors here; {nearest(backend, ('ort', 'ort-cuda'))}")
    source = opened(bundle, trust=trust)
    proto = parse_model(read_model(model), where=f"ONNX model '{model}'")
    with console.progress_bar("bisect") as progress:
        found = find_first(
            source,
            graph,
            proto,
            open_model=lambda content: OrtSession(content, device="cuda" if backend == "ort-cuda" else "cpu"),
            precision=precision,
            cases=names(case) or None,
            progress=progress,
        )
    if as_json:
        console.show_json({"divergence": None if found is None else dataclasses.asdict(found)})
    else:
        console.say("no node differs" if found is None else str(found))
    if found is not None:
        raise typer.Exit(1)
