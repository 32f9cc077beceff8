"""Builders of small ONNX models for the lint."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

F, F16, BF16, F64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE
I8, I32, I64, B = TensorProto.INT8, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL
U8, U16 = TensorProto.UINT8, TensorProto.UINT16

node = helper.make_node
value = helper.make_tensor_value_info


def model_of(nodes, inputs, outputs, *, opset=17, domains=(), functions=(), **constants) -> onnx.ModelProto:
    """A model; `inputs` and `outputs` are (name, type, shape), `constants` become initializers."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [value(*entry) for entry in inputs],
        [value(*entry) for entry in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=8)
    # Gives the outputs their shapes, where the operators are known.
    return shape_inference.infer_shapes(model)


def one(op, inputs, *, outputs=(("y", F, None),), opset=17, domain="", constants=None, **attributes) -> onnx.ModelProto:
    """A model of one node; constants are taken where a name of theirs is an input of the node."""
    constants = constants or {}
    order = attributes.pop("order", [*(name for name, *_ in inputs), *constants])
    nodes = [node(op, order, [name for name, *_ in outputs], domain=domain, name="n", **attributes)]
    return model_of(nodes, inputs, outputs, opset=opset, domains=[domain] if domain else [], **constants)


def function(domain: str, name: str, op: str, inputs=("a",)) -> onnx.FunctionProto:
    return helper.make_function(
        domain, name, list(inputs), ["b"], [node(op, ["a"], ["b"])], [helper.make_opsetid("", 17)]
    )


def branch(name: str, shape: Sequence[int], output: str) -> onnx.GraphProto:
    return helper.make_graph(
        [node("ConstantOfShape", [f"{name}_shape"], [output])],
        name,
        [],
        [value(output, F, shape)],
        [numpy_helper.from_array(np.array(shape, np.int64), f"{name}_shape")],
    )


def choice(then: Sequence[int], other: Sequence[int], names=("a", "b")) -> onnx.ModelProto:
    branches = {"then_branch": branch("t", then, names[0]), "else_branch": branch("e", other, names[1])}
    return model_of([node("If", ["c"], ["y"], name="n", **branches)], [("c", B, [])], [("y", F, None)])


def naive_gather_gradient(*, opset: int = 17) -> onnx.ModelProto:
    """The gradient of a gather as frameworks write it: ScatterElements add on zeros, duplicates in the index."""
    nodes = [
        node("Unsqueeze", ["ind", "one"], ["row"]),
        node("Expand", ["row", "shape"], ["index"]),
        node("ScatterElements", ["zeros", "index", "grad"], ["flat"], axis=2, reduction="add", name="backward"),
        node("Reshape", ["flat", "map"], ["grad_feat"]),
    ]
    return model_of(
        nodes,
        [("ind", I64, [2, 6]), ("grad", F, [2, 3, 6])],
        [("grad_feat", F, [2, 3, 4, 5])],
        opset=opset,
        one=np.array([1]),
        shape=np.array([2, 3, 6]),
        zeros=np.zeros((2, 3, 20), np.float32),
        map=np.array([2, 3, 4, 5]),
    )


def loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [node("And", ["go", "go"], ["going"]), node("Add", ["v", "v"], ["w"])],
        "body",
        [value("i", I64, []), value("go", B, []), value("v", F, [3])],
        [value("going", B, []), value("w", F, [3])],
    )
    nodes = [node("Loop", ["times", "yes", "x"], ["y"], body=body, name="n")]
    return model_of(nodes, [("x", F, [3])], [("y", F, [3])], times=np.array(4), yes=np.array(True))


def in_branch() -> onnx.ModelProto:
    """A DeformConv-like trap inside a branch: a scatter that adds."""
    inner = helper.make_graph(
        [node("ScatterElements", ["x", "i", "u"], ["a"], reduction="add", name="inside")], "t", [], [value("a", F, [4])]
    )
    other = helper.make_graph([node("Neg", ["x"], ["b"])], "e", [], [value("b", F, [4])])
    nodes = [node("If", ["c"], ["y"], then_branch=inner, else_branch=other, name="n")]
    inputs = [("c", B, []), ("x", F, [4]), ("u", F, [2])]
    return model_of(nodes, inputs, [("y", F, [4])], i=np.array([1, 1]))


def in_function() -> onnx.ModelProto:
    inner = helper.make_function(
        "d",
        "AddAt",
        ["a", "i", "u"],
        ["b"],
        [node("ScatterElements", ["a", "i", "u"], ["b"], reduction="add")],
        [helper.make_opsetid("", 17)],
    )
    nodes = [node("AddAt", ["x", "i", "u"], ["y"], domain="d", name="n")]
    inputs = [("x", F, [4]), ("u", F, [2])]
    return model_of(nodes, inputs, [("y", F, [4])], domains=["d"], functions=[inner], i=np.array([1, 1]))


def int8_out() -> onnx.ModelProto:
    return one("Cast", [("x", F, [4])], to=I8, outputs=(("y", I8, [4]),))
