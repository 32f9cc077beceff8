from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lossrt.errors import InputError
from lossrt.passes.attach_files import keep_external_data
from lossrt.passes.network_file import read_network


def save(folder: Path, *, location: str = "weights.bin") -> Path:
    """A network with one weight in another file and one in a constant's attribute, there as well."""
    weight = numpy_helper.from_array(np.arange(600, dtype=np.float32), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(600, np.float32), "c")),
            helper.make_node("Add", ["w", "c"], ["s"]),
            helper.make_node("Add", ["s", "x"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [600])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [600])],
        [weight],
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        folder / "net.onnx",
        save_as_external_data=True,
        location=location,
        size_threshold=16,
        convert_attribute=True,
    )
    return folder / "net.onnx"


def test_weights_go_along(tmp_path: Path) -> None:
    path = save(tmp_path / "a", location="deep/weights.bin")
    model = read_network(path)
    place = tmp_path / "b"
    assert keep_external_data(model, source=path.parent, place=place) == (place / "deep" / "weights.bin",)
    onnx.save(model, place / "out.onnx")
    loaded = onnx.load(place / "out.onnx")
    np.testing.assert_array_equal(numpy_helper.to_array(loaded.graph.initializer[0]), np.arange(600))
    # A second time nothing is in the way.
    keep_external_data(model, source=path.parent, place=place)
    assert sorted(entry.name for entry in (place / "deep").iterdir()) == ["weights.bin"]


def test_in_the_networks_own_folder_nothing_is_copied(tmp_path: Path) -> None:
    path = save(tmp_path)
    before = sorted(tmp_path.iterdir())
    keep_external_data(read_network(path), source=tmp_path, place=tmp_path / ".")
    assert sorted(tmp_path.iterdir()) == before


def test_a_network_with_its_weights_inside(tmp_path: Path) -> None:
    whole = onnx.load(save(tmp_path / "a"))
    assert keep_external_data(whole, source=tmp_path / "a", place=tmp_path / "b") == ()
    assert not (tmp_path / "b").exists()


def test_another_file_in_the_way(tmp_path: Path) -> None:
    path = save(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "weights.bin").write_bytes(b"precious")
    with pytest.raises(InputError, match=r"weights.bin': expected no other file there"):
        keep_external_data(read_network(path), source=tmp_path / "a", place=tmp_path / "b")
    assert (tmp_path / "b" / "weights.bin").read_bytes() == b"precious"


def test_missing_weights(tmp_path: Path) -> None:
    path = save(tmp_path / "a")
    (tmp_path / "a" / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"weights '.*weights.bin': expected beside the network, but missing"):
        keep_external_data(read_network(path), source=tmp_path / "a", place=tmp_path / "b")


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "a\\b"])
def test_weights_outside_the_folder(tmp_path: Path, location: str) -> None:
    model = read_network(save(tmp_path / "a"))
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    with pytest.raises(InputError, match="got a path that leaves it"):
        keep_external_data(model, source=tmp_path / "a", place=tmp_path / "b")


@pytest.mark.parametrize("content", [None, b"\xff\xff\xff", b""], ids=["missing", "garbage", "empty"])
def test_what_is_no_network(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"network '.*net.onnx': expected "):
        read_network(tmp_path / "net.onnx")
