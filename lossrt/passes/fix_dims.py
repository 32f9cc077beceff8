"""Give open dimensions a size, so that a compiler sees a static graph.

Requires: inputs whose open dimensions are named. Ensures: no input has any of the given names left; shapes are inferred
anew; operators and constants are untouched.
"""

__all__ = ["fix_dims"]

from collections.abc import Mapping

import onnx
from onnx import shape_inference


def fix_dims(model: onnx.ModelProto, sizes: Mapping[str, int]) -> onnx.ModelProto:
    """Return the model with the named dimensions of `sizes` fixed.

    Args:
        model: A model with named open dimensions.
        sizes: Size by name, for example `{"B": 10}`; names that the model lacks are ignored.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    return shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True)
