"""Networks of CenterTrack's form written by hand, with parts that a test can put in the place of others."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEADS = {"hm": 1, "reg": 2}
F, K = 6, 4


def head_nodes(head: str, features: str = "features") -> list[onnx.NodeProto]:
    """Convolution 3x3, ReLU, convolution 1x1."""
    names = {part: f"{head}.{part}" for part in ("0.weight", "0.bias", "2.weight", "2.bias")}
    return [
        helper.make_node(
            "Conv",
            [features, names["0.weight"], names["0.bias"]],
            [f"{head}:0"],
            f"{head}_first",
            kernel_shape=[3, 3],
            pads=[1] * 4,
        ),
        helper.make_node("Relu", [f"{head}:0"], [f"{head}:1"], f"{head}_relu"),
        helper.make_node("Conv", [f"{head}:1", names["2.weight"], names["2.bias"]], [head], f"{head}_last"),
    ]


def head_weights(head: str, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([seed, len(head)])
    shapes = {"0.weight": (K, F, 3, 3), "0.bias": (K,), "2.weight": (HEADS[head], K, 1, 1), "2.bias": (HEADS[head],)}
    return {f"{head}.{part}": rng.normal(size=shape).astype(np.float32) for part, shape in shapes.items()}


def network(
    *,
    trunk: Sequence[onnx.NodeProto] | None = None,
    heads: Mapping[str, Sequence[onnx.NodeProto]] | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """image [1, 3, H, W] → features [1, F, H/4, W/4] → heads; `heads` replaces the nodes of some of them."""
    weights = {"trunk.weight": np.random.default_rng(1).normal(size=(F, 3, 4, 4)).astype(np.float32)}
    nodes = list(
        trunk
        if trunk is not None
        else [
            helper.make_node("Conv", ["image", "trunk.weight"], ["stem"], "stem", kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Relu", ["stem"], ["features"], "neck"),
        ]
    )
    for head in HEADS:
        nodes += list((heads or {}).get(head, head_nodes(head)))
        weights |= head_weights(head)
    weights |= dict(extra or {})
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 3, 16, 24])],
        [helper.make_tensor_value_info(head, TensorProto.FLOAT, ["B", HEADS[head], 4, 6]) for head in HEADS],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    imports = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)
