"""Networks of CenterTrack's form with one convolution, to attach to."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lossrt.recipe import Recipe

F32, F16 = TensorProto.FLOAT, TensorProto.FLOAT16
node = helper.make_node


def network_of(
    recipe: Recipe,
    *,
    names: Mapping[str, str] | None = None,
    batch: int | str = "batch",
    opset: int = 18,
    kind: int = F32,
    last: Mapping[str, str] | None = None,
    deform: bool = False,
    declared: bool = True,
) -> onnx.ModelProto:
    """image [batch, 3, H_in, W_in] → one map a head, by a strided convolution and one (deformable) convolution a head.

    `names` are outputs by head, `last` an operator behind a head, `declared` whether outputs say what they are.
    """
    rng = np.random.default_rng(0)
    dtype = np.float32 if kind == F32 else np.float16
    weights: dict[str, NDArray[Any]] = {"stem.w": rng.normal(0, 0.1, (6, 3, 4, 4))}
    nodes = [node("Conv", ["image", "stem.w"], ["stem"], name="stem", kernel_shape=[4, 4], strides=[4, 4])]
    nodes.append(node("Tanh", ["stem"], ["features"]))
    if deform:
        weights |= {"deform.w": rng.normal(0, 0.5, (6, 6, 3, 3)), "offset.w": rng.normal(0, 0.5, (18, 6, 1, 1))}
        nodes.append(node("Conv", ["features", "offset.w"], ["offset"], kernel_shape=[1, 1]))
        inputs = ["features", "deform.w", "offset"]
        nodes.append(node("DeformConv", inputs, ["bent"], kernel_shape=[3, 3], pads=[1] * 4))
    outputs = {head: (names or {}).get(head, head) for head in recipe.heads}
    for head, name in outputs.items():
        after = (last or {}).get(head)
        weights[f"{head}.w"] = rng.normal(0, 1, (recipe.heads[head], 6, 1, 1))
        made = f"{head}.raw" if after else name
        nodes.append(node("Conv", ["bent" if deform else "features", f"{head}.w"], [made], kernel_shape=[1, 1]))
        if after:
            nodes.append(node(after, [made], [name]))
    height, width = recipe.map_size
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", kind, [batch, 3, *recipe.input])],
        [
            helper.make_tensor_value_info(name, kind, [batch, recipe.heads[head], height, width])
            if declared
            else onnx.ValueInfoProto(name=name)
            for head, name in outputs.items()
        ],
        [numpy_helper.from_array(array.astype(dtype), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
