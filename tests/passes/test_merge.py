"""Tuned weights in a network: those bytes and no others, whatever form the file has them in."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from lossrt.errors import InputError, StorageError
from lossrt.passes.merge import check_out_path, check_tuned, write_merged
from lossrt.passes.merge_bytes import replace_initializers
from tests.passes.networks import F, head_nodes, head_weights, network
from tests.passes.storage import full_beyond


def _values(content: bytes) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load_model_from_string(content).graph.initializer}


@given(names=st.sets(st.sampled_from(sorted(head_weights("hm") | head_weights("reg")))), seed=st.integers(0, 99))
def test_only_the_tensors_bytes_change(names: set[str], seed: int) -> None:
    content = network().SerializeToString()
    old, new = _values(content), head_weights("hm", seed + 1) | head_weights("reg", seed + 1)
    expected = content
    for name in names:
        assert content.count(old[name].tobytes()) == 1
        expected = expected.replace(old[name].tobytes(), new[name].tobytes())
    assert replace_initializers(content, {name: new[name] for name in names}) == expected


def test_a_file_that_protobuf_would_write_in_another_order_keeps_its_order() -> None:
    model = network()
    graph, rest = model.graph.SerializeToString(), onnx.ModelProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    assert 1 << 7 <= len(graph) < 1 << 14  # a length of two bytes
    size = bytes([len(graph) & 127 | 128, len(graph) >> 7])
    content = b"\x3a" + size + graph + rest.SerializeToString()
    assert content != onnx.load_model_from_string(content).SerializeToString()
    bias = np.float32([5, 6])
    merged = replace_initializers(content, {"reg.2.bias": bias})
    assert merged == content.replace(head_weights("reg")["reg.2.bias"].tobytes(), bias.tobytes())


def test_values_in_typed_fields_are_replaced_as_well() -> None:
    model = network()
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "reg.2.bias")
    tensor.ClearField("raw_data")
    tensor.float_data.extend([1, 2])
    merged = _values(replace_initializers(model.SerializeToString(), {"reg.2.bias": np.float32([5, 6])}))
    np.testing.assert_array_equal(merged.pop("reg.2.bias"), [5, 6])
    before = _values(model.SerializeToString())
    assert all((merged[name] == before[name]).all() for name in merged)


def test_weights_in_other_files_come_along(tmp_path) -> None:
    model = network()
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    tuned = {"reg.2.bias": np.float32([5, 6])}
    write_merged(tmp_path / "net.onnx", tuned, tmp_path / "out" / "tuned.onnx", heads=b"as given")
    assert (tmp_path / "out" / "tuned.safetensors").read_bytes() == b"as given"
    merged = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "out" / "tuned.onnx").graph.initializer}
    np.testing.assert_array_equal(merged.pop("reg.2.bias"), [5, 6])
    assert all(
        (merged[name] == array).all()
        for name, array in _values(network().SerializeToString()).items()
        if name in merged
    )
    (tmp_path / "out" / "net.data").write_bytes(b"of another network")
    with pytest.raises(InputError, match="exists and holds other weights"):
        write_merged(tmp_path / "net.onnx", tuned, tmp_path / "out" / "tuned.onnx", heads=b"")
    (tmp_path / "net.data").unlink()
    with pytest.raises(InputError, match="no such file below its folder"):
        write_merged(tmp_path / "net.onnx", tuned, tmp_path / "out" / "tuned.onnx", heads=b"")


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_disk_leaves_no_half(tmp_path) -> None:
    model, out = network(), tmp_path / "out"
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    tuned = {"reg.2.bias": np.float32([5, 6])}
    write_merged(tmp_path / "net.onnx", tuned, out / "p.onnx", heads=b"as given")
    before = _files(out)
    with pytest.raises(StorageError, match=r"p\.onnx': writing failed"), full_beyond(len(before["net.data"])):
        write_merged(tmp_path / "net.onnx", tuned, out / "p.onnx", heads=b"longer" * 1000)
    assert _files(out) == before
    with pytest.raises(StorageError), full_beyond(len(before["net.data"]) - 1):
        write_merged(tmp_path / "net.onnx", tuned, tmp_path / "other" / "p.onnx", heads=b"")
    assert _files(tmp_path / "other") == {}


def test_weights_that_were_cut_off_are_found_before_anything_is_written(tmp_path) -> None:
    onnx.save(network(), tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    data = tmp_path / "net.data"
    data.write_bytes(data.read_bytes()[:-1])
    message = rf"net\.data': expected at least {data.stat().st_size + 1} bytes, where tensor 'reg.2.bias' ends"
    with pytest.raises(InputError, match=message):
        write_merged(tmp_path / "net.onnx", {"hm.2.bias": np.zeros(1, "f4")}, tmp_path / "o" / "p.onnx", heads=b"")
    assert not (tmp_path / "o").exists()
    # What is replaced is read no more.
    write_merged(tmp_path / "net.onnx", {"reg.2.bias": np.zeros(2, "f4")}, tmp_path / "o" / "p.onnx", heads=b"")


def test_a_merge_does_not_write_over_the_networks_own_weights(tmp_path) -> None:
    onnx.save(network(), tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    before = _files(tmp_path)
    with pytest.raises(InputError, match="expected another name than the network's weights have"):
        write_merged(tmp_path / "net.onnx", {"hm.2.bias": np.zeros(1, "f4")}, tmp_path / "net.data", heads=b"")
    assert _files(tmp_path) == before


PLACES = {
    "the-heads-name": ("x.safetensors", r"x\.safetensors': expected an ONNX file, .* such as '.*x\.onnx'"),
    "a-folder": ("folder", r"folder': expected a file or nothing there, got a folder"),
    "the-network": ("net.onnx", r"is the network itself, and the original would be gone"),
    "the-network-by-another-path": ("folder/../net.onnx", r"is the network itself"),
    "a-folder-where-the-heads-go": ("h.onnx", r"h\.safetensors': the heads go there, got a folder"),
}


@pytest.mark.parametrize(("out", "message"), PLACES.values(), ids=PLACES.keys())
def test_a_place_that_cannot_be_written_is_refused(tmp_path, out, message) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "h.safetensors").mkdir()
    check_out_path(tmp_path / "net.onnx", tmp_path / "other.onnx")
    with pytest.raises(InputError, match=message):
        check_out_path(tmp_path / "net.onnx", tmp_path / out)


WRONG = {
    "nothing": ({}, "expected weights, got an empty file"),
    "unknown": (
        {"hm.2.bia": np.zeros(1, "f4")},
        "'hm.2.bia': the network has no such initializer; did you mean 'hm.2.bias'",
    ),
    "a-whole-network": (
        head_weights("hm") | {f"bn{i}.num_batches_tracked": np.int64(1) for i in range(5)},
        "5 of 9 tensors are no initializers of the network: 'bn0.num_batches_tracked', .*, …; save only the heads'",
    ),
    "the-backbones": (
        {"trunk.weight": np.zeros((F, 3, 4, 4), "f4")},
        r"'trunk.weight': expected a parameter of a head, got one that node 'stem' \(Conv\) reads: .* valid: hm.0.bias",
    ),
    "shape": ({"hm.2.bias": np.zeros(3, "f4")}, r"'hm.2.bias': expected float32\[1\], got float32\[3\]"),
    "type": ({"hm.2.bias": np.zeros(1, "f2")}, r"'hm.2.bias': expected float32\[1\], got float16\[1\]"),
    "diverged": ({"hm.2.bias": np.full(1, np.nan, "f4")}, "'hm.2.bias': expected finite values"),
}


@pytest.mark.parametrize(("tuned", "message"), WRONG.values(), ids=WRONG.keys())
def test_weights_that_do_not_fit_are_named(tuned, message) -> None:
    with pytest.raises(InputError, match=message):
        check_tuned(network(), tuned, what="heads 'tuned.safetensors'")


def test_a_tensor_that_other_heads_read_is_refused_as_split_does() -> None:
    shared = head_nodes("reg")
    shared[0].input[1] = "hm.0.weight"
    with pytest.raises(InputError, match=r"node 'reg_first' \(Conv\): its weights 'hm.0.weight' serve 2 places of the"):
        check_tuned(network(heads={"reg": shared}), head_weights("hm"), what="heads")


def test_where_an_output_is_no_head_a_convolutions_weights_pass_and_nothing_else() -> None:
    nodes = [*head_nodes("reg")[:2], helper.make_node("Mul", ["reg:1", "scale"], ["reg"], "scaled")]
    model = network(heads={"reg": nodes}, extra={"scale": np.float32([2]), "lost": np.float32([2])})
    check_tuned(model, {"trunk.weight": np.zeros((F, 3, 4, 4), "f4")}, what="heads")
    with pytest.raises(InputError, match=r"got an initializer that node 'scaled' \(Mul\) reads"):
        check_tuned(model, {"scale": np.float32([3])}, what="heads")
    with pytest.raises(InputError, match="got an initializer that nothing reads"):
        check_tuned(model, {"lost": np.float32([3])}, what="heads")
