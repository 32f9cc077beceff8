"""One loss graph → one ONNX model: the exporter, our gather, names on the wire, the target's opset."""

__all__ = ["GATHERS", "ExportOptions", "onnx_from_graph", "onnx_from_module", "quiet"]

import ast
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import shape_inference
from torch import Tensor, nn

from lossrt.errors import InputError, nearest
from lossrt.export.local_functions import attach_functions, translations
from lossrt.export.onnx_from_gradient import traced_gradients
from lossrt.models import Graph
from lossrt.passes.inline import inline_functions
from lossrt.passes.opset import convert_opset
from lossrt.passes.shape_range import expand_shape_ranges
from lossrt.platforms import Platform, find_platform
from lossrt.recipe import Recipe
from lossrt.spec import GraphSpec, resolved_shape

GATHERS = ("function", "inline", "flat")
DYNAMIC = {"batch": ("B",), "objects": ("M",), "map": ("H", "W")}
# The exporter works at this opset; older targets are reached by conversion.
EXPORTER_OPSET = 18


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How graphs are written.

    Attributes:
        target: Platform name; decides the opset and whether functions stay.
        gather: `function` (node and local function), `inline` (its operators in place) or `flat` (another body, in place).
        dynamic: What stays open: any of `batch`, `objects`, `map`; empty for a static graph.

    Raises:
        InputError: A name is not one of these.
    """

    target: str = "ort"
    gather: str = "function"
    dynamic: tuple[str, ...] = ("batch",)

    def __post_init__(self) -> None:
        find_platform(self.target)
        if self.gather not in GATHERS:
            raise InputError(f"gather '{self.gather}': unknown; {nearest(self.gather, GATHERS)}")
        for name in self.dynamic:
            if name not in DYNAMIC:
                raise InputError(f"dynamic '{name}': unknown; {nearest(name, DYNAMIC)}")

    @property
    def platform(self) -> Platform:
        """The target's platform."""
        return find_platform(self.target)

    @property
    def open_dims(self) -> frozenset[str]:
        """Names of the dimensions that stay open, for example `{"B"}`."""
        return frozenset(dim for name in self.dynamic for dim in DYNAMIC[name])

    @property
    def gather_written(self) -> str:
        """The gather as it ends up in the file, for the manifest."""
        kept = self.gather != "function" or self.platform.functions
        return self.gather if kept else "function, inlined"


def onnx_from_graph(graph: Graph, recipe: Recipe, *, options: ExportOptions) -> onnx.ModelProto:
    """Export one graph of the table.

    Args:
        graph: The graph.
        recipe: Its sizes, heads and weights.
        options: Target, gather form and open dimensions.

    Returns:
        A model with wire names, inferred shapes, and no trace of where it was made.
    """
    spec = graph.spec(recipe)
    dims = graph.dims(spec, options.open_dims)
    module = graph.module(recipe, dims)
    if graph.derived:
        module = traced_gradients(module, spec, open_dims=dims)
    return onnx_from_module(module, spec, options=options, open_dims=dims)


def onnx_from_module(
    module: nn.Module, spec: GraphSpec, *, options: ExportOptions, open_dims: frozenset[str] | None = None
) -> onnx.ModelProto:
    """Export a module that takes and returns named tensors.

    Args:
        module: `forward(tensors: dict[str, Tensor]) -> dict[str, Tensor]`, in the order of the spec.
        spec: Names, types and dimensions of its inputs and outputs.
        options: Target, gather form and open dimensions.
        open_dims: The open dimensions, where they are others than the options'.
    """
    program = _export(module.eval(), spec, options.open_dims if open_dims is None else open_dims)
    _name_values(program, spec)
    model: onnx.ModelProto = program.model_proto
    _tidy(model, spec)
    body = "flat" if options.gather == "flat" else "elements"
    attach_functions(model, body=body, opset=EXPORTER_OPSET)
    if options.gather != "function" or not options.platform.functions:
        model = inline_functions(model)
    model = convert_opset(model, options.platform.opset)
    if not options.platform.functions:
        # Parsers this old read past the range of a Shape, in silence.
        model = expand_shape_ranges(model)
    return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def example_tensors(spec: GraphSpec) -> dict[str, Tensor]:
    """Return zeros of every input's shape and type, each a tensor of its own."""
    return {
        tensor.name: torch.zeros(resolved_shape(tensor.dims, spec.sizes), dtype=getattr(torch, tensor.dtype))
        for tensor in spec.inputs
    }


def _traced_sizes(spec: GraphSpec, open_dims: frozenset[str]) -> GraphSpec:
    """Return the signature with at least 2 of every open dimension: the tracer takes a size of 1 for a fixed one."""
    sizes = {name: max(2, size) if name in open_dims else size for name, size in spec.sizes.items()}
    return replace(spec, sizes=sizes)


def _export(module: nn.Module, spec: GraphSpec, open_dims: frozenset[str]) -> Any:
    spec = _traced_sizes(spec, open_dims)
    dims = {name: torch.export.Dim(name, min=1) for name in sorted(open_dims & set(spec.sizes))}
    shapes = {t.name: {i: dims[d] for i, d in enumerate(t.dims) if d in dims} for t in spec.inputs}
    with warnings.catch_warnings(), quiet("torch.onnx"), translations() as table:
        # The exporter warns of its own deprecations; none concerns the graph, and the gates check what came out.
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            module,
            (example_tensors(spec), {}),
            dynamo=True,
            opset_version=EXPORTER_OPSET,
            verbose=False,
            dynamic_shapes=(shapes,) if dims else None,
            custom_translation_table=table,
        )


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Keep a logger's warnings back: the exporter lists the torchvision operators that it does not find."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _name_values(program: Any, spec: GraphSpec) -> None:
    """Give inputs and outputs their wire names, and every inner value its node's.

    The exporter names inner values after torch operators, so that `cat` would meet the input of that name.
    """
    graph = program.model.graph
    for node in graph:
        node.name = str(node.name).removeprefix("node_")
        for position, value in enumerate(node.outputs):
            value.name = f"{node.name}:{position}"
    for position, value in enumerate(list(graph.initializers.values())):
        value.name = f"constant:{position}"
    for value, tensor in zip(graph.inputs, spec.inputs, strict=True):
        value.name = tensor.name
    for value, output in zip(graph.outputs, spec.outputs, strict=True):
        value.name = output.name


def _tidy(model: onnx.ModelProto, spec: GraphSpec) -> None:
    """Keep of the exporter's metadata which torch operator and source line a node came from, without absolute paths."""
    model.graph.name = spec.name
    model.producer_name = "lossrt"
    model.producer_version = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for node in model.graph.node:
        _drop_default(node)
        found = {entry.key: entry.value for entry in node.metadata_props}
        del node.metadata_props[:]
        node.doc_string = ""
        for key, text in _origin(found).items():
            node.metadata_props.add(key=key, value=text)


def _drop_default(node: onnx.NodeProto) -> None:
    """Leave out that a scatter does not reduce: some parsers refuse the attribute whatever it says."""
    kept = [entry for entry in node.attribute if (entry.name, entry.s) != ("reduction", b"none")]
    if len(kept) < len(node.attribute):
        del node.attribute[:]
        node.attribute.extend(kept)


def _origin(found: Mapping[str, str]) -> dict[str, str]:
    origin = {}
    if hierarchy := found.get("pkg.torch.onnx.class_hierarchy"):
        origin["lossrt.torch_op"] = str(ast.literal_eval(hierarchy)[-1])
    frames = re.findall(r'File "([^"]+)", line (\d+), in (\w+)', found.get("pkg.torch.onnx.stack_trace", ""))
    if frames:
        path, line, function = frames[-1]
        origin["lossrt.source"] = f"{Path(path).name}:{line} {function}"
    return origin
