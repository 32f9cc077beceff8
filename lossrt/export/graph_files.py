"""One graph's files in a bundle: the model in every precision, and its golden cases."""

__all__ = ["GraphFiles", "Progress", "tool_versions", "write_graph"]

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
from numpy.typing import NDArray

from lossrt.bundle import GraphEntry
from lossrt.export.gates import check_model, exempt_inputs
from lossrt.export.golden import Judges, golden_case
from lossrt.passes.precision import cast_maps, map_names
from lossrt.spec import GraphSpec, check_arrays

Progress = Callable[[str, int, int], None]
TOOLS = ("lossrt", "torch", "onnx", "onnxscript", "numpy")


@dataclass(frozen=True, slots=True)
class GraphFiles:
    """What is needed to write a graph.

    Attributes:
        spec: Its signature.
        model: The graph in fp32.
        constants: Epsilons and clamps that must be in it.
        cases: Inputs by case name.
        perturbed: The cases whose inputs the gates perturb, the next where one shows nothing.
        judges: Reference and oracle.
        oracle: Which oracle that is, for the report.
        inputs_of: The graph whose cases hold the inputs; None where this one's do.
    """

    spec: GraphSpec
    model: onnx.ModelProto
    constants: tuple[float, ...]
    cases: Mapping[str, Mapping[str, NDArray[Any]]]
    perturbed: tuple[str, ...]
    judges: Judges
    oracle: Literal["float64", "self"] = "float64"
    inputs_of: str | None = None


def write_graph(folder: Path, files: GraphFiles, *, precisions: tuple[str, ...]) -> GraphEntry:
    """Gate a graph, then write it and its cases below a bundle's folder.

    Args:
        folder: The bundle's folder.
        files: The graph.
        precisions: Types of the maps.

    Returns:
        The manifest's entry.

    Raises:
        GateError: The graph fails a gate.
        InputError: A case does not fit the signature.
    """
    spec = files.spec
    check_model(files.model, spec, constants=files.constants, feeds=[files.cases[case] for case in files.perturbed])
    models = {}
    for precision in precisions:
        model = files.model if precision == "fp32" else cast_maps(files.model, map_names(spec), to=precision)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / "graphs" / f"{spec.name}.{precision}.onnx")
        models[precision] = model
    for case, inputs in files.cases.items():
        check_arrays(spec, inputs)
        for precision, model in models.items():
            golden = golden_case(
                case,
                inputs,
                spec=spec,
                judges=files.judges,
                precision=precision,
                model=model,
                borrowed=files.inputs_of is not None,
            )
            golden.save(folder / "cases" / f"{spec.name}.{precision}" / f"{case}.safetensors")
    return GraphEntry(
        spec=spec,
        precisions=precisions,
        cases=dict.fromkeys(precisions, tuple(files.cases)),
        oracle=files.oracle,
        exempt=exempt_inputs(spec),
        inputs_of=files.inputs_of,
    )


def tool_versions() -> dict[str, str]:
    """Return the versions of what makes a bundle."""
    return {tool: importlib.metadata.version(tool) for tool in TOOLS}
