"""`lossrt precision`: where a graph fails in half precision, without a GPU."""

__all__ = ["precision"]

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import JsonOption, TrustOption

if TYPE_CHECKING:
    import onnx

    from lossrt.validators.precision.prediction import Prediction


def precision(
    model: Annotated[Path, typer.Argument(help="Any ONNX file.", metavar="MODEL.onnx")],
    dtype: Annotated[str, typer.Option("--type", help="fp16 or bf16.")] = "fp16",
    bundle: Annotated[Path | None, typer.Option("--bundle", help="Take the inputs from a bundle's case.")] = None,
    case: Annotated[str, typer.Option("--case", help="Which case of the bundle.")] = "nominal",
    inputs: Annotated[Path | None, typer.Option("--inputs", help="Take the inputs from a safetensors file.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Findings to print.")] = 20,
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Walk a graph with the rounding of half precision and name the nodes that fail, worst first."""
    from lossrt.runtime.onnx_model import parse_model, read_model
    from lossrt.validators.precision.prediction import predict_failures

    proto = parse_model(read_model(model), where=f"ONNX model '{model}'")
    prediction = predict_failures(proto, _feeds(proto, bundle, case, inputs, trust), dtype=dtype)
    if as_json:
        console.show_json(dataclasses.asdict(prediction))
        return
    _show(prediction, most)


def _feeds(
    proto: "onnx.ModelProto", bundle: Path | None, case: str, inputs: Path | None, trust: list[str] | None
) -> dict[str, Any]:
    from lossrt.arrays import read_arrays
    from lossrt.errors import InputError
    from lossrt.validators.precision.feeds import feeds_from_bundle

    if (bundle is None) == (inputs is None):
        raise InputError("precision: expected --bundle BUNDLE or --inputs FILE.safetensors, one of them; add it")
    if bundle is not None:
        return feeds_from_bundle(proto, opened(bundle, trust=trust), case=case)
    assert inputs is not None
    return read_arrays(inputs, what="inputs")


def _show(prediction: "Prediction", most: int) -> None:
    console.say(f"{prediction.dtype}, {prediction.mode}: {len(prediction.findings)} findings")
    for finding in prediction.findings[:most]:
        console.say(f"  {finding}")
    if len(prediction.findings) > most:
        console.say(f"  … {len(prediction.findings) - most} more; see --most")
    for output in prediction.outputs:
        console.say(f"output {output.name}: {output.narrow:.6g} instead of {output.wide:.6g}")
    if prediction.in_float32:
        console.say(f"run in float32 and then rounded: {', '.join(prediction.in_float32)}")
