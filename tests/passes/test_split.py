"""Cutting a network where its heads begin, and what is said where there is no such place."""

import json

import numpy as np
import onnx
import pytest
import safetensors
from onnx import TensorProto, helper, numpy_helper

from lossrt.arrays import read_arrays
from lossrt.errors import InputError, StorageError
from lossrt.passes.network_file import read_network
from lossrt.passes.split import HEADS_KEY, backbone, cut, write_split
from lossrt.passes.split_heads import find_heads, named_outputs
from lossrt.runtime.ort import OrtSession
from tests.passes.networks import HEADS, F, K, head_nodes, head_weights, network
from tests.passes.storage import full_beyond

OUTPUTS = {head: head for head in HEADS}
IMAGE = np.random.default_rng(2).normal(size=(1, 3, 16, 24)).astype(np.float32)


def test_backbone_and_heads_together_give_the_network(tmp_path) -> None:
    model = network()
    heads = find_heads(model, OUTPUTS)
    assert (heads.features, heads.channels) == ("features", F)
    onnx.save(model, tmp_path / "network.onnx")
    write_split(read_network(tmp_path / "network.onnx"), heads, tmp_path / "parts", folder=tmp_path)
    whole = OrtSession(model.SerializeToString()).run({"image": IMAGE})
    features = OrtSession(tmp_path / "parts" / "backbone.onnx").run({"image": IMAGE})
    assert list(features) == ["features"]
    rest = cut(model, {head: HEADS[head] for head in HEADS}, inputs={"features": F})
    onnx.checker.check_model(rest, full_check=True)
    for head, array in OrtSession(rest.SerializeToString()).run(features).items():
        np.testing.assert_array_equal(array, whole[head])


def test_the_heads_file_has_the_networks_names(tmp_path) -> None:
    model = network()
    write_split(model, find_heads(model, OUTPUTS), tmp_path, folder=tmp_path)
    arrays = read_arrays(tmp_path / "heads.safetensors", what="heads")
    expected = head_weights("hm") | head_weights("reg")
    assert arrays.keys() == expected.keys()
    assert all((arrays[name] == expected[name]).all() for name in expected)
    with safetensors.safe_open(tmp_path / "heads.safetensors", "numpy") as opened:
        table = json.loads(opened.metadata()[HEADS_KEY])
    assert table["features"] == "features"
    assert table["heads"]["hm"]["2.weight"] == "hm.2.weight"
    kept = {tensor.name for tensor in onnx.load(tmp_path / "backbone.onnx").graph.initializer}
    assert kept == {"trunk.weight"}


def test_the_backbone_may_hold_anybodys_operators(tmp_path) -> None:
    trunk = [
        helper.make_node("DCNv2", ["image", "trunk.weight"], ["stem"], "plugin", domain="their.plugins"),
        helper.make_node("NotInONNX", ["stem"], ["features"], "stranger"),
    ]
    model = network(trunk=trunk, domains=["their.plugins"])
    write_split(model, find_heads(model, OUTPUTS), tmp_path, folder=tmp_path)
    part = onnx.load(tmp_path / "backbone.onnx")
    assert [node.SerializeToString() for node in part.graph.node] == [node.SerializeToString() for node in trunk]


def test_weights_in_other_files_are_found_and_stay_outside(tmp_path) -> None:
    model = network(extra={"trunk.weight": np.ones((F, 3, 4, 4), np.float32) * 7})
    outside = onnx.ModelProto()
    outside.CopyFrom(model)
    onnx.save(outside, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    opened = read_network(tmp_path / "net.onnx")
    write_split(opened, find_heads(opened, OUTPUTS), tmp_path / "parts", folder=tmp_path)
    assert (tmp_path / "parts" / "backbone.onnx.data").is_file()
    expected = OrtSession(backbone(model, find_heads(model, OUTPUTS)).SerializeToString()).run({"image": IMAGE})
    got = OrtSession(tmp_path / "parts" / "backbone.onnx").run({"image": IMAGE})
    np.testing.assert_array_equal(got["features"], expected["features"])
    (tmp_path / "net.data").unlink()
    opened = read_network(tmp_path / "net.onnx")
    with pytest.raises(InputError, match="copy them too"):
        write_split(opened, find_heads(opened, OUTPUTS), tmp_path / "parts", folder=tmp_path)


def test_a_full_disk_leaves_the_parts_that_were_there(tmp_path) -> None:
    model, out = network(), tmp_path / "parts"
    write_split(model, find_heads(model, OUTPUTS), out, folder=tmp_path)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(before["backbone.onnx"]) < len(before["heads.safetensors"])
    changed = network(extra={"trunk.weight": np.ones((F, 3, 4, 4), np.float32)})
    with (
        pytest.raises(StorageError, match=f"output '{out}': writing failed"),
        full_beyond(len(before["backbone.onnx"])),
    ):
        write_split(changed, find_heads(changed, OUTPUTS), out, folder=tmp_path)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_full_disk_leaves_the_parts_weights_as_well(tmp_path) -> None:
    model, out = network(), tmp_path / "parts"
    onnx.save(network(), tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    opened = read_network(tmp_path / "net.onnx")
    write_split(opened, find_heads(model, OUTPUTS), out, folder=tmp_path)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o644}
    assert len(before["backbone.onnx"]) < len(before["backbone.onnx.data"])
    opened = read_network(tmp_path / "net.onnx")
    opened.graph.doc_string = "long " * 2000
    with pytest.raises(StorageError), full_beyond(len(before["backbone.onnx.data"])):
        write_split(opened, find_heads(model, OUTPUTS), out, folder=tmp_path)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_outputs_are_heads_by_name_or_as_told() -> None:
    model = network()
    model.graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, None))
    assert named_outputs(model) == OUTPUTS
    assert named_outputs(model, {"wh": "reg"}) == {"hm": "hm", "wh": "reg"}
    with pytest.raises(InputError, match="no such output; did you mean 'reg'"):
        named_outputs(model, {"reg": "rg"})
    with pytest.raises(InputError, match="expected heads among its outputs, got hm, reg, features"):
        find_heads(model, {})


def test_identities_are_looked_through() -> None:
    nodes = head_nodes("reg", "same")
    model = network(heads={"reg": [helper.make_node("Identity", ["features"], ["same"]), *nodes]})
    assert find_heads(model, OUTPUTS).features == "features"
    assert find_heads(model, OUTPUTS, at="features").features == "features"


def _replaced(head: str, position: int, node: onnx.NodeProto) -> dict[str, list[onnx.NodeProto]]:
    nodes = head_nodes(head)
    nodes[position : position + 1] = [node]
    return {head: nodes}


def _conv(inputs: list[str], output: str, **attributes) -> onnx.NodeProto:
    return helper.make_node("Conv", inputs, [output], "changed", **attributes)


FAULTS = {
    "another-operator-between": (
        {"heads": _replaced("hm", 1, helper.make_node("LeakyRelu", ["hm:0"], ["hm:1"], "leaky"))},
        r"head 'hm': expected conv 3x3, ReLU, conv 1x1, with Relu as its middle operator, got node 'leaky' \(LeakyRelu\)",
    ),
    "two-hidden-layers": (
        {
            "heads": {
                "reg": [
                    *head_nodes("reg")[:1],
                    helper.make_node("Relu", ["reg:0"], ["reg:r"]),
                    _conv(["reg:r", "extra"], "reg:c"),
                    helper.make_node("Relu", ["reg:c"], ["reg:1"]),
                    head_nodes("reg")[2],
                ]
            },
            "extra": {"extra": np.ones((K, K, 1, 1), np.float32)},
        },
        r"head 'reg': expected its first operator to be a 3x3 convolution of stride 1 .* got node 'changed'",
    ),
    "activation-inside": (
        {
            "heads": {
                "hm": [
                    *head_nodes("hm")[:2],
                    _conv(["hm:1", "hm.2.weight", "hm.2.bias"], "raw"),
                    helper.make_node("Sigmoid", ["raw"], ["hm"], "squash"),
                ]
            }
        },
        r"got node 'squash' \(Sigmoid\); the network applies an activation: if it is hm's own, set activation.hm",
    ),
    "no-bias": (
        {"heads": _replaced("hm", 2, _conv(["hm:1", "hm.2.weight"], "hm"))},
        r"head 'hm': node 'changed' \(Conv\): expected a bias, got none",
    ),
    "stride": (
        {"heads": _replaced("hm", 0, _conv(["features", "hm.0.weight", "hm.0.bias"], "hm:0", strides=[2, 2]))},
        r"expected its first operator to be a 3x3 convolution of stride 1",
    ),
    "shared-with-another-head": (
        {"heads": _replaced("reg", 0, _conv(["features", "hm.0.weight", "reg.0.bias"], "reg:0", pads=[1] * 4))},
        r"weights 'hm.0.weight' serve 2 places",
    ),
    "shared-through-identity": (
        {
            "heads": {
                "reg": [
                    helper.make_node("Identity", ["hm.0.bias"], ["same"]),
                    _conv(["features", "reg.0.weight", "same"], "reg:0", pads=[1] * 4),
                    *head_nodes("reg")[1:],
                ]
            }
        },
        r"bias 'hm.0.bias' serve 2 places",
    ),
    "frozen-into-a-node": (
        {
            "heads": {
                "reg": [
                    helper.make_node("Constant", [], ["k"], "frozen", value=numpy_helper.from_array(np.ones(K, "f4"))),
                    _conv(["features", "reg.0.weight", "k"], "reg:0", pads=[1] * 4),
                    *head_nodes("reg")[1:],
                ]
            }
        },
        r"expected its bias 'k' among the initializers, got it frozen into node 'frozen' \(Constant\)",
    ),
    "quantised-weights": (
        {
            "heads": {
                "reg": [
                    helper.make_node("DequantizeLinear", ["q", "scale"], ["w"], "dequantise"),
                    _conv(["features", "w", "reg.0.bias"], "reg:0", pads=[1] * 4),
                    *head_nodes("reg")[1:],
                ]
            },
            "extra": {"q": np.ones((K, F, 3, 3), np.int8), "scale": np.float32(0.1)},
        },
        r"got 'w' from node 'dequantise' \(DequantizeLinear\); its weights are quantised",
    ),
    "quantised-map": (
        {"heads": _replaced("hm", 1, helper.make_node("DequantizeLinear", ["hm:0", "s"], ["hm:1"], "dq"))},
        r"got node 'dq' \(DequantizeLinear\); the map there is quantised",
    ),
    "quantised-output": (
        {
            "heads": {
                "hm": [
                    *head_nodes("hm")[:2],
                    _conv(["hm:1", "hm.2.weight", "hm.2.bias"], "raw"),
                    helper.make_node("QuantizeLinear", ["raw", "s"], ["q"], "quantise"),
                    helper.make_node("DequantizeLinear", ["q", "s"], ["hm"], "dequantise"),
                ]
            }
        },
        r"got node 'dequantise' \(DequantizeLinear\); the map there is quantised: tune the float network",
    ),
    "half-precision-behind-a-cast": (
        {
            "heads": {
                "reg": [
                    helper.make_node("Cast", ["half"], ["w"], "castw", to=TensorProto.FLOAT),
                    _conv(["features", "w", "reg.0.bias"], "reg:0", pads=[1] * 4),
                    *head_nodes("reg")[1:],
                ]
            },
            "extra": {"half": np.ones((K, F, 3, 3), np.float16)},
        },
        r"expected float32 weights, got FLOAT16 'half' through node 'castw' \(Cast\); tune the float32 network",
    ),
    "half-precision": (
        {"extra": {"hm.2.bias": np.zeros(1, np.float16)}},
        r"expected float32 bias, got FLOAT16",
    ),
    "another-feature-map": (
        {"heads": {"reg": head_nodes("reg", "stem")}},
        r"expected every head to start at 'features', got 'hm' at 'features', 'reg' at 'stem'; .* leave reg out of the recipe",
    ),
}


def test_activations_are_passed_over_where_the_network_has_them() -> None:
    raw = _conv(["hm:1", "hm.2.weight", "hm.2.bias"], "raw")
    squash = [
        helper.make_node("Sigmoid", ["raw"], ["p"]),
        helper.make_node("Add", ["p", "low"], ["q"]),
        helper.make_node("Reciprocal", ["q"], ["hm"]),
    ]
    nodes = {"hm": [*head_nodes("hm")[:2], raw, *squash]}
    model = network(heads=nodes, extra={"low": np.float32(1e-6)})
    found = find_heads(model, OUTPUTS, activated=("hm",))
    assert found.heads[0].output == "raw"
    assert found.heads[0].initializers == find_heads(network(), OUTPUTS).heads[0].initializers
    assert find_heads(network(), OUTPUTS, activated=("hm", "reg")) == find_heads(network(), OUTPUTS)


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_no_head_is_named(changes, message) -> None:
    with pytest.raises(InputError, match=message):
        find_heads(network(**changes), OUTPUTS)


def test_the_place_to_cut_has_to_exist() -> None:
    with pytest.raises(InputError, match="--at 'featurs': no such value in the network; did you mean 'features'"):
        find_heads(network(), OUTPUTS, at="featurs")


def test_a_place_where_not_all_heads_start_is_told_with_what_is_found() -> None:
    with pytest.raises(
        InputError, match=r"start at 'stem', got 'hm' at 'features', 'reg' at 'features'; .* leave --at away"
    ):
        find_heads(network(), OUTPUTS, at="stem")
    mixed = network(heads={"reg": head_nodes("reg", "stem")})
    with pytest.raises(InputError, match=r"start at 'stem', .* leave hm out of the recipe"):
        find_heads(mixed, OUTPUTS, at="stem")
