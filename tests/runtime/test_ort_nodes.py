import onnx
import pytest
from onnx import TensorProto, helper

from lossrt.errors import InputError
from lossrt.runtime.ort import load_error
from lossrt.runtime.ort_nodes import ort_problems
from tests.runtime.graphs import BFLOAT16, FLOAT, masked_l1, save

pytest.importorskip("onnxruntime")


def network(path, nodes, inputs, outputs, functions=(), domains=("own",)):
    """An unchecked model: what is wrong with it is the point."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, kind, [2, 3]) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
    )
    opsets = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return save(
        helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions)), path / "network.onnx"
    )


def own(name, given, result):
    return helper.make_node("Deform", [given], [result], name=name, domain="own")


def test_a_network_that_loads_has_no_problems(tmp_path):
    assert ort_problems(save(masked_l1(), tmp_path / "l1.onnx")) == ()


def test_every_unknown_node_is_named_not_the_first_alone(tmp_path):
    nodes = [own("one", "x", "a"), helper.make_node("Relu", ["a"], ["b"], name="relu"), own("two", "b", "y")]
    found = ort_problems(network(tmp_path, nodes, {"x": FLOAT}, {"y": FLOAT}))
    assert [(problem.node, problem.op) for problem in found] == [("one", "own::Deform"), ("two", "own::Deform")]
    assert all("not a registered function/op" in problem.reason for problem in found)


def test_an_operator_that_lacks_the_type_is_named(tmp_path):
    nodes = [
        helper.make_node("Acosh", ["x"], ["a"], name="narrow"),
        helper.make_node("Acosh", ["w"], ["b"], name="wide"),
    ]
    found = ort_problems(network(tmp_path, nodes, {"x": BFLOAT16, "w": FLOAT}, {"a": BFLOAT16, "b": FLOAT}))
    assert [problem.node for problem in found] == ["narrow"]


def test_nodes_inside_a_branch_are_looked_at(tmp_path):
    branches = {
        name: helper.make_graph(
            [own(f"in_{name}", "x", f"{name}_y")], name, [], [helper.make_tensor_value_info(f"{name}_y", FLOAT, None)]
        )
        for name in ("then_branch", "else_branch")
    }
    nodes = [
        helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.BOOL, [], [True])),
        helper.make_node("If", ["c"], ["y"], name="if", **branches),
    ]
    found = ort_problems(network(tmp_path, nodes, {"x": FLOAT}, {"y": FLOAT}))
    assert sorted(problem.node for problem in found) == ["in_else_branch", "in_then_branch"]


def test_a_local_function_is_an_operator(tmp_path):
    body = [helper.make_node("Relu", ["a"], ["b"])]
    function = helper.make_function("own", "Deform", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    nodes = [own("ours", "x", "a"), helper.make_node("Other", ["a"], ["y"], name="theirs", domain="own")]
    found = ort_problems(network(tmp_path, nodes, {"x": FLOAT}, {"y": FLOAT}, [function]))
    assert [problem.node for problem in found] == ["theirs"]


def test_what_no_node_is_to_blame_for_is_said_of_the_whole(tmp_path):
    nodes = [helper.make_node("Add", ["x", "missing"], ["y"], name="add")]
    [found] = ort_problems(network(tmp_path, nodes, {"x": FLOAT}, {"y": FLOAT}))
    assert (found.node, found.op) == ("", "")
    assert "missing" in found.reason


@pytest.mark.parametrize("content", [b"no network", b""], ids=["text", "empty"])
def test_what_is_no_network_is_refused(tmp_path, content):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.onnx': expected .*, got"):
        ort_problems(tmp_path / "x.onnx")


def test_a_library_without_operators_is_refused(tmp_path):
    (tmp_path / "lib.so").write_bytes(b"no library")
    with pytest.raises(InputError, match=r"--ort-ops '.*lib\.so': expected a library .*RegisterCustomOps"):
        load_error(masked_l1().SerializeToString(), operators=tmp_path / "lib.so")


def test_weights_beside_the_model_are_found(tmp_path):
    onnx.save(masked_l1(), tmp_path / "w.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "w.bin").is_file()
    assert ort_problems(tmp_path / "w.onnx") == ()
