import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from lossrt.passes.inline import inline_functions

OPSET = helper.make_opsetid("", 18)
OURS = helper.make_opsetid("ours", 1)


def nested_model() -> onnx.ModelProto:
    """y = (x² + x)² + (x² + x), by a function that calls a function, twice, once inside an If."""
    square = helper.make_function("ours", "Square", ["a"], ["b"], [helper.make_node("Mul", ["a", "a"], ["b"])], [OPSET])
    body = [helper.make_node("Square", ["a"], ["s"], domain="ours"), helper.make_node("Add", ["s", "a"], ["b"])]
    grow = helper.make_function("ours", "Grow", ["a"], ["b"], body, [OPSET, OURS])
    branches = {
        name: helper.make_graph(
            [helper.make_node(op, ["first"], [name], domain=domain)],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3])],
        )
        for name, op, domain in (("then", "Grow", "ours"), ("else", "Neg", ""))
    }
    nodes = [
        helper.make_node("Grow", ["x"], ["first"], domain="ours"),
        helper.make_node("If", ["yes"], ["y"], then_branch=branches["then"], else_branch=branches["else"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [3]),
        helper.make_tensor_value_info("yes", TensorProto.BOOL, []),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])]
    graph = helper.make_graph(nodes, "nested", inputs, outputs)
    model = helper.make_model(graph, functions=[square, grow], opset_imports=[OPSET, OURS], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, feeds) -> bytes:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0].tobytes()


def test_nested_functions_are_inlined_everywhere_and_give_the_same_bits() -> None:
    model = nested_model()
    before = model.SerializeToString()
    inlined = inline_functions(model)
    assert model.SerializeToString() == before, "the model itself was changed"
    assert not inlined.functions
    assert [entry.domain for entry in inlined.opset_import] == [""]
    onnx.checker.check_model(inlined, full_check=True)
    x = np.random.default_rng(0).normal(0, 1, 3).astype(np.float32)
    for yes in (True, False):
        feeds = {"x": x, "yes": np.array(yes)}
        assert run(inlined, feeds) == run(model, feeds)


def test_a_domain_that_still_has_a_node_stays_imported() -> None:
    model = nested_model()
    model.graph.node.append(helper.make_node("Plugin", ["x"], ["z"], domain="ours"))
    inlined = inline_functions(model)
    assert [node.op_type for node in inlined.graph.node if node.domain == "ours"] == ["Plugin"]
    assert {entry.domain for entry in inlined.opset_import} == {"", "ours"}
    onnx.checker.check_model(inlined)


def test_a_model_without_functions_stays_as_it_is() -> None:
    model = inline_functions(nested_model())
    assert inline_functions(model) == model
