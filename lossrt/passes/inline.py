"""Inline model-local functions, for parsers that have none.

Requires: a valid model. Ensures: no model-local function is left; every operator is in a standard domain; results are
bit-identical, since the same operators run in the same order.
"""

__all__ = ["inline_functions"]

import onnx
from onnx import inliner


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every local function inlined, and the functions' domains no longer imported."""
    domains = {function.domain for function in model.functions}
    inlined = inliner.inline_local_functions(model)
    kept = [opset for opset in inlined.opset_import if opset.domain not in domains]
    del inlined.opset_import[:]
    inlined.opset_import.extend(kept)
    return inlined
