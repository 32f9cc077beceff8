"""Bad input: what is no model, and what is one with something missing."""

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from lossrt.errors import InputError
from lossrt.validators.lint.engine import lint_model
from lossrt.validators.lint.source import read_model
from tests.validators.lint.cases import CASES
from tests.validators.lint.models import I64, F, model_of, node, value


def save_outside(folder: Path, *, location: str = "weights.bin", count: int = 4) -> Path:
    """A model whose weight of 4 floats lies in another file."""
    model = model_of([node("Add", ["x", "w"], ["y"])], [("x", F, [4])], [("y", F, [4])], w=np.ones(4, np.float32))
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (folder / "weights.bin").write_bytes(b"\0" * 4 * count)
    stored = onnx.load(path, load_external_data=False)
    next(entry for entry in stored.graph.initializer[0].external_data if entry.key == "location").value = location
    path.write_bytes(stored.SerializeToString())
    return path


def test_weights_beside_the_model_are_found_and_not_read(tmp_path: Path) -> None:
    path = save_outside(tmp_path)
    assert not lint_model(path, targets=["rtx"])
    assert not read_model(path).proto.graph.initializer[0].raw_data


@pytest.mark.parametrize(
    ("location", "count", "expected"),
    [
        ("weights.bin", 3, "expected at least 16 bytes in 'weights.bin', got 12"),
        ("missing.bin", 4, "'missing.bin', which is missing beside the model"),
        ("../weights.bin", 4, "'../weights.bin', outside the model's folder; refused"),
        ("/etc/passwd", 4, "'/etc/passwd', outside the model's folder; refused"),
        ("", 4, "outside the model's folder; refused"),
    ],
    ids=["short", "missing", "parent", "absolute", "empty"],
)
def test_weights_that_are_not_there(tmp_path: Path, location: str, count: int, expected: str) -> None:
    with pytest.raises(InputError, match=r"tensor 'w'") as caught:
        lint_model(save_outside(tmp_path, location=location, count=count))
    assert expected in str(caught.value)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 16)
    path = save_outside(tmp_path / "in", location="link.bin")
    (tmp_path / "in" / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(InputError, match="outside the model's folder"):
        lint_model(path)


def test_a_size_that_is_no_number(tmp_path: Path) -> None:
    path = save_outside(tmp_path)
    stored = onnx.load(path, load_external_data=False)
    entry = stored.graph.initializer[0].external_data.add()
    entry.key, entry.value = "length", "-5"
    path.write_bytes(stored.SerializeToString())
    with pytest.raises(InputError, match="expected a number of bytes"):
        lint_model(path)


def test_a_model_in_memory_cannot_have_its_weights_elsewhere(tmp_path: Path) -> None:
    stored = onnx.load(save_outside(tmp_path), load_external_data=False)
    with pytest.raises(InputError, match="pass the file's path"):
        lint_model(stored)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "expected a graph"), (b"# a text file\n", "ONNX"), (b"\x08\x0a", "expected a graph")],
    ids=["empty", "text", "only-a-version"],
)
def test_not_onnx(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        lint_model(path)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a readable ONNX file"):
        lint_model(tmp_path / "nothing.onnx")
    with pytest.raises(InputError, match="expected a readable ONNX file"):
        lint_model(tmp_path)


def test_more_than_2_gb_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # sparse: no disk is used
    with pytest.raises(InputError, match="2147483648 bytes; a single ONNX file holds at most 2 GB"):
        lint_model(path)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_an_input_error_or_a_model(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(CASES)).model.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    with contextlib.suppress(InputError):
        lint_model(path)


def chain(*edges: str) -> onnx.ModelProto:
    """A model of Neg nodes, each edge written `from>to`."""
    nodes = [node("Neg", [edge[0]], [edge[2]], name=edge) for edge in edges]
    graph = helper.make_graph(nodes, "graph", [value("x", F, [4])], [value("y", F, [4])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (chain("a>y", "x>a"), "node 'a>y' (Neg): its input 'a' is produced later: the graph is not sorted"),
        (chain("b>a", "a>b", "b>y"), "depends on its own output: the graph is cyclic"),
        (chain("y>y"), "the graph is cyclic"),
        (chain("q>y"), "nothing produces its input 'q'"),
        (chain("x>y", "x>y"), "value 'y': produced twice"),
        (chain("x>x", "x>y"), "value 'x': produced twice"),
        (chain("x>a"), "output 'y': no node produces it"),
    ],
    ids=["unsorted", "cyclic", "self", "dangling", "twice", "input-overwritten", "no-output"],
)
def test_what_is_no_graph(model: onnx.ModelProto, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        lint_model(model)
    assert expected in str(caught.value)


def test_subgraphs_see_what_comes_before_them_and_no_more() -> None:
    inner = helper.make_graph([node("Neg", ["late"], ["a"])], "t", [], [value("a", F, [4])])
    nodes = [
        node("If", ["c"], ["z"], then_branch=inner, else_branch=inner, name="choose"),
        node("Neg", ["x"], ["late"]),
        node("Add", ["z", "late"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("c", onnx.TensorProto.BOOL, []), value("x", F, [4])], [value("y", F, [4])]
    )
    with pytest.raises(InputError, match=r"body of node 'choose' \(If\): .*'late'"):
        lint_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


def test_functions_that_call_each_other_in_a_circle() -> None:
    imports = [helper.make_opsetid("d", 1)]
    functions = [
        helper.make_function("d", "F", ["a"], ["b"], [node("G", ["a"], ["b"], domain="d")], imports),
        helper.make_function("d", "G", ["a"], ["b"], [node("F", ["a"], ["b"], domain="d")], imports),
    ]
    graph = helper.make_graph([node("F", ["x"], ["y"], domain="d")], "g", [value("x", F, [4])], [value("y", F, [4])])
    model = helper.make_model(graph, functions=functions, opset_imports=[helper.make_opsetid("", 17), *imports])
    with pytest.raises(InputError, match="in a circle"):
        lint_model(model)


def test_facts_of_large_constants_outlive_their_data() -> None:
    index = np.arange(5000, dtype=np.int64)
    model = model_of([node("Gather", ["x", "i"], ["y"])], [("x", F, [4000])], [("y", F, [5000])], i=index)
    read = read_model(model)
    assert (read.facts["i"].minimum, read.facts["i"].maximum) == (0, 4999)
    assert not read.proto.graph.initializer[0].raw_data
    assert "index-out-of-range" in {finding.rule for finding in lint_model(model)}


def test_a_constant_with_too_little_data() -> None:
    model = model_of([node("Gather", ["x", "i"], ["y"])], [("x", F, [4])], [("y", F, [2])], i=np.array([0, 1]))
    model.graph.initializer[0].raw_data = b"\0\0\0"
    with pytest.raises(InputError, match=r"constant 'i': .*the file is damaged"):
        lint_model(model)


def test_no_opset() -> None:
    model = helper.make_model(helper.make_graph([], "g", [], [value("y", I64, [])]))
    del model.opset_import[:]
    with pytest.raises(InputError, match="the opsets it imports"):
        lint_model(model)


def test_constant_nodes_count_as_constants() -> None:
    axes = node("Constant", [], ["axes"], value=numpy_helper.from_array(np.array([1])))
    model = model_of([axes, node("ReduceSum", ["x", "axes"], ["y"])], [("x", F, [2, 3])], [("y", F, [2, 1])])
    assert not lint_model(model)
