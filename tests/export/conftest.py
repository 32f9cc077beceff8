"""Exports for the tests, traced once for every graph and set of open dimensions."""

from collections.abc import Callable
from typing import Any

import onnx
import pytest
import torch

from lossrt.export import onnx_from_graph as exporter
from lossrt.export.onnx_from_graph import ExportOptions, onnx_from_graph
from lossrt.models import GRAPHS
from lossrt.recipe import Recipe

Export = Callable[..., onnx.ModelProto]


@pytest.fixture(scope="session")
def export() -> Export:
    """`export(graph, recipe, target=..., gather=..., dynamic=...)`; the step that takes long, PyTorch's, is kept.

    That step sees the graph, the recipe and the open dimensions, neither the target nor the gather.
    """
    traced: dict[Any, Any] = {}
    trace = exporter._export

    def trace_once(key: Any, *arguments: Any) -> torch.onnx.ONNXProgram:
        if key not in traced:
            traced[key] = trace(*arguments).model
        return torch.onnx.ONNXProgram(traced[key].clone(), None)

    def export_one(graph: str, recipe: Recipe, **options: Any) -> onnx.ModelProto:
        chosen = ExportOptions(**options)
        key = graph, repr(recipe), chosen.open_dims
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exporter, "_export", lambda *arguments: trace_once(key, *arguments))
            return onnx_from_graph(GRAPHS[graph], recipe, options=chosen)

    return export_one
