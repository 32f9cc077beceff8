"""Inline model-local functions, for parsers that have none.

Requires: a valid model. Ensures: no model-local function is left; an operator of a domain of ours stays only where it
had no function; results are bit-identical, since the same operators run in the same order.
"""

__all__ = ["inline_functions"]

import onnx
from onnx import inliner

from lossrt.passes.walk import nodes_in


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every local function inlined, and domains that no node uses any more not imported."""
    domains = {function.domain for function in model.functions}
    inlined = inliner.inline_local_functions(model)
    unused = domains - {node.domain for node in nodes_in(inlined.graph.node)}
    kept = [opset for opset in inlined.opset_import if opset.domain not in unused]
    del inlined.opset_import[:]
    inlined.opset_import.extend(kept)
    return inlined
