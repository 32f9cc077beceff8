import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lossrt.device.preprocessing import frame_feeds, network_ports
from lossrt.errors import InputError
from lossrt.recipe import load_recipe

RECIPE = load_recipe("mot17", input=(32, 64))
IMAGE, HEATMAP = ["B", 3, 32, 64], ["B", 1, 32, 64]


def network(*inputs: tuple[str, list[object]], kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Identity", [inputs[0][0]], ["y"])] if inputs else [],
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    return helper.make_model(graph)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([("image", IMAGE)], {"image": "image"}),
        ([("whatever", IMAGE)], {"image": "whatever"}),
        (
            [("pre_hm", HEATMAP), ("pre_img", IMAGE), ("input", IMAGE)],
            {"image": "input", "previous_image": "pre_img", "previous_heatmap": "pre_hm"},
        ),
        (
            [("a", IMAGE), ("b", IMAGE), ("c", HEATMAP)],
            {"image": "a", "previous_image": "b", "previous_heatmap": "c"},
        ),
        ([("Pre_Img", IMAGE), ("a", IMAGE)], {"image": "a", "previous_image": "Pre_Img"}),
        ([("image", ["B", "C", "H", "W"])], {"image": "image"}),
    ],
    ids=["by-name", "by-shape", "all-by-name", "all-by-shape", "mixed", "open"],
)
def test_inputs_are_found(inputs: list[tuple[str, list[object]]], expected: dict[str, str]) -> None:
    assert network_ports(network(*inputs), RECIPE).names == expected


def test_the_flag_wins() -> None:
    model = network(("image", IMAGE), ("b", IMAGE))
    found = network_ports(model, RECIPE, names={"image": "b", "previous_image": "image"})
    assert found.names == {"image": "b", "previous_image": "image"}


def test_weights_are_no_inputs() -> None:
    model = network(("image", IMAGE), ("w", [3]))
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, [3], [1, 2, 3]))
    assert network_ports(model, RECIPE).names == {"image": "image"}


@pytest.mark.parametrize(
    ("inputs", "names", "message"),
    [
        (
            [("v", ["B", 7])],
            {},
            r"expected an input for the image, got 'v' float\[B, 7\]; name it with --input image=NAME",
        ),
        ([("image", IMAGE), ("v", ["B", 7])], {}, r"input 'v': expected image, .*--input ROLE=v"),
        (
            [("image", ["B", 3, 32, 32])],
            {},
            r"input 'image' \(image\): expected a float of \[B, 3, 32, 64\], got float\[B, 3, 32, 32\]",
        ),
        ([("image", IMAGE)], {"imago": "image"}, "unknown role; did you mean 'image'"),
        ([("image", IMAGE)], {"image": "img"}, "the network has no such input; did you mean 'image'"),
        ([("image", IMAGE)], {"image": "image", "previous_image": "image"}, "another input for each role"),
    ],
    ids=["no-image", "left-over", "size", "role", "name", "twice"],
)
def test_what_does_not_fit(inputs: list[tuple[str, list[object]]], names: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        network_ports(network(*inputs), RECIPE, names=names)


def test_whole_numbers_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected a float of .*, got uint8\[B, 3, 32, 64\]"):
        network_ports(network(("image", IMAGE), kind=TensorProto.UINT8), RECIPE)


def test_feeds_of_a_first_frame_and_of_the_next() -> None:
    model = network(("pre_hm", HEATMAP), ("pre_img", IMAGE), ("image", IMAGE), kind=TensorProto.FLOAT16)
    ports = network_ports(model, RECIPE)
    image, before = (np.full((3, 32, 64), value, np.float32) for value in (2, 1))
    heatmap = np.full((1, 32, 64), 0.5, np.float32)
    first = frame_feeds(ports, image)
    assert {name: (array.shape, array.dtype.name) for name, array in first.items()} == {
        "image": ((1, 3, 32, 64), "float16"),
        "pre_img": ((1, 3, 32, 64), "float16"),
        "pre_hm": ((1, 1, 32, 64), "float16"),
    }
    assert (first["pre_img"] == 2).all()
    assert not first["pre_hm"].any()
    second = frame_feeds(ports, image, previous_image=before, previous_heatmap=heatmap)
    assert (second["image"] == 2).all()
    assert (second["pre_img"] == 1).all()
    assert (second["pre_hm"] == 0.5).all()


def test_a_fixed_batch_is_refused() -> None:
    ports = network_ports(network(("image", [4, 3, 32, 64])), RECIPE)
    with pytest.raises(InputError, match="input 'image': expected a batch of 1 or an open one, got 4"):
        frame_feeds(ports, np.zeros((3, 32, 64), np.float32))
