"""Attaching: the network stays as it was, and the losses are the bundle's on its outputs."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper

from lossrt.bundle import Bundle, Case
from lossrt.errors import InputError
from lossrt.passes.attach import Attached, attach_losses, fitting_precision
from lossrt.recipe import Recipe
from tests.passes.attachable import F16, F32, network_of, node


def run(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    taken = {entry.name for entry in session.get_inputs()}
    results = session.run(None, {name: array for name, array in feeds.items() if name in taken})
    return dict(zip((entry.name for entry in session.get_outputs()), results, strict=True))


@pytest.fixture(scope="module")
def targets(small_bundle: Bundle) -> dict[str, NDArray[Any]]:
    arrays = Case.load(small_bundle.case_path("generic_loss", "fp32", "nominal")).input
    return {name: array for name, array in arrays.items() if not name.startswith("pred_")}


@pytest.fixture(scope="module")
def image(small_recipe: Recipe) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1, (3, 3, *small_recipe.input)).astype(np.float32)


def assert_whole(
    network: onnx.ModelProto,
    attached: Attached,
    losses: onnx.ModelProto,
    image: NDArray[Any],
    targets: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """The network is in it unchanged, gives its own bits, and the losses are those of the loss graph on its outputs."""
    onnx.checker.check_model(attached.model, full_check=True)
    whole = attached.model.graph
    for field in ("node", "initializer", "input", "output"):
        theirs, ours = getattr(network.graph, field), getattr(whole, field)
        assert list(ours[: len(theirs)]) == list(theirs)
    alone = run(network, {"image": image})
    named = {attached.inputs[name]: array for name, array in targets.items() if name in attached.inputs}
    together = run(attached.model, {"image": image, **named})
    for name, array in alone.items():
        assert together[name].dtype == array.dtype
        np.testing.assert_array_equal(together[name], array)
    wanted = {entry.name: entry.type.tensor_type.elem_type for entry in losses.graph.input}
    dtypes = {name: helper.tensor_dtype_to_np_dtype(kind) for name, kind in wanted.items()}
    predictions = {f"pred_{key}": alone[name].astype(dtypes[f"pred_{key}"]) for key, name in attached.heads.items()}
    expected = run(losses, {**targets, **predictions})
    assert set(attached.outputs) == set(expected)
    # ONNX Runtime computes half precision on the CPU in float32, and leaves out a pair of casts between network and losses.
    allowed = 2e-6 if all(array.dtype == np.float32 for array in alone.values()) else 1e-4
    for name, array in expected.items():
        np.testing.assert_allclose(together[name], array, rtol=allowed)
    return together


def test_the_networks_results_stay_and_the_losses_are_the_bundles(small_recipe, losses, image, targets) -> None:
    network = network_of(small_recipe)
    attached = attach_losses(network, losses, small_recipe)
    results = assert_whole(network, attached, losses, image, targets)
    assert list(results) == [*small_recipe.heads, "loss", *(f"loss_{head}" for head in small_recipe.heads)]
    # The network has outputs called hm, reg, …: the targets of those names stand aside, the others do not.
    assert attached.inputs["hm"] == "target_hm"
    assert attached.inputs["ind"] == "ind"
    assert attached.inputs["reg_mask"] == "reg_mask"
    assert attached.casts == attached.warnings == ()
    inputs = {entry.name: entry for entry in attached.model.graph.input}
    assert inputs["ind"].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_deformable_convolution(small_recipe, losses, image, targets) -> None:
    network = network_of(small_recipe, opset=19, deform=True, names={head: f"o{head}" for head in small_recipe.heads})
    mapping = {head: f"o{head}" for head in small_recipe.heads}
    attached = attach_losses(network, losses, small_recipe, mapping=mapping)
    try:
        run(network, {"image": image})
    except Exception as error:
        pytest.skip(f"ONNX Runtime has no DeformConv here: {error}")
    assert_whole(network, attached, losses, image, targets)
    assert all(wire == name for wire, name in attached.inputs.items()), "no name is taken, so none stands aside"


@pytest.mark.parametrize("opset", [13, 14, 15, 16, 17, 18, 19, 20, 21, 22])
def test_opsets(opset: int, small_recipe, losses, image, targets) -> None:
    network = network_of(small_recipe, opset=opset)
    attached = attach_losses(network, losses, small_recipe)
    assert {entry.domain: entry.version for entry in attached.model.opset_import}[""] == opset
    assert_whole(network, attached, losses, image, targets)


@pytest.mark.parametrize("opset", [10, 12])
def test_an_opset_too_old(opset: int, small_recipe, losses) -> None:
    with pytest.raises(
        InputError, match=rf"network: opset {opset}: expected one that the losses can be written in, .*opset 18"
    ):
        attach_losses(network_of(small_recipe, opset=opset), losses, small_recipe)


def test_a_fixed_batch_fixes_the_targets(small_recipe, losses, image, targets) -> None:
    network = network_of(small_recipe, batch=3)
    attached = attach_losses(network, losses, small_recipe)
    sizes = {entry.name: entry.type.tensor_type.shape.dim[0].dim_value for entry in attached.model.graph.input}
    assert set(sizes.values()) == {3}
    assert_whole(network, attached, losses, image, targets)


def plugin_network(recipe: Recipe) -> onnx.ModelProto:
    """A node that nobody knows gives every head; the outputs say nothing but their names."""
    outputs = [f"{head}_out" for head in recipe.heads]
    graph = helper.make_graph(
        [node("DLA34", ["image"], outputs, domain="vendor.plugin")],
        "network",
        [helper.make_tensor_value_info("image", F32, ["n", 3, *recipe.input])],
        [onnx.ValueInfoProto(name=name) for name in outputs],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("vendor.plugin", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def test_a_network_that_cannot_be_run_attaches_as_well(small_recipe, losses) -> None:
    mapping = {head: f"{head}_out" for head in small_recipe.heads}
    network = plugin_network(small_recipe)
    attached = attach_losses(network, losses, small_recipe, mapping=mapping)
    assert attached.model.graph.node[0] == network.graph.node[0]
    assert set(attached.casts) == set(mapping.values()), "nobody knows their type, so each is cast"
    assert attached.warnings == (
        "network: output 'hm_out' (head 'hm'): ends in vendor.plugin::DLA34, from which its activation cannot be told; "
        'the recipe says "raw"',
    )
    inputs = {entry.name: entry for entry in attached.model.graph.input}
    assert inputs["ind"].type.tensor_type.shape.dim[0].dim_param == "n"


def test_undeclared_outputs_are_inferred(small_recipe, losses, image, targets) -> None:
    network = network_of(small_recipe, declared=False)
    network.graph.output[1].name = "wh"
    network.graph.output[2].name = "reg"
    attached = attach_losses(network, losses, small_recipe)
    assert attached.casts == ()
    with pytest.raises(InputError, match=r"output 'hm': expected for head 'reg' a float of \[B, 2, .*, got float\["):
        attach_losses(network, losses, small_recipe, mapping={"reg": "hm", "hm": "reg"})


def test_half_outputs_are_cast_for_the_fp32_losses(small_recipe, losses, image, targets) -> None:
    network = network_of(small_recipe, kind=F16)
    assert fitting_precision(network, small_recipe, ("fp32",)) == "fp32"
    attached = attach_losses(network, losses, small_recipe)
    assert set(attached.casts) == set(small_recipe.heads)
    assert_whole(network, attached, losses, image.astype(np.float16), targets)


def test_half_outputs_go_to_half_losses_uncast(small_recipe, small_bundle, losses, image, targets) -> None:
    from lossrt.passes.precision import cast_maps, map_names

    names = map_names(small_bundle.entry("generic_loss").spec)
    half = cast_maps(losses, names, to="fp16")
    network = network_of(small_recipe, kind=F16)
    assert fitting_precision(network, small_recipe, ("fp32", "fp16")) == "fp16"
    attached = attach_losses(network, half, small_recipe)
    assert attached.casts == ()
    halved = {name: array.astype(np.float16) if name in names else array for name, array in targets.items()}
    assert_whole(network, attached, half, image.astype(np.float16), halved)


def names_inside(graph: onnx.GraphProto) -> Iterator[str]:
    for entry in graph.node:
        yield from entry.output


def test_names_never_meet(small_recipe, losses, image, targets) -> None:
    network = network_of(small_recipe)
    first = losses.graph.node[0]
    # A network that uses, on purpose, what the losses call theirs.
    for value in (f"lossrt:{first.output[0]}", "lossrt:constant:0", "target_hm", "ind", *first.output):
        network.graph.node.append(node("Identity", ["image"], [value]))
    network.graph.node[-1].name = first.name
    attached = attach_losses(network, losses, small_recipe)
    made = list(names_inside(attached.model.graph))
    assert len(made) == len(set(made))
    assert attached.inputs["hm"] == "target_hm_1"
    assert attached.inputs["ind"] == "target_ind"
    assert_whole(network, attached, losses, image, targets)


def test_a_function_of_the_networks_own_with_our_name(small_recipe, losses, image, targets) -> None:
    network = network_of(small_recipe)
    body = [node("Neg", ["a"], ["b"])]
    mine = helper.make_function("lossrt", "GatherFeat", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    network.functions.append(mine)
    network.opset_import.append(helper.make_opsetid("lossrt", 1))
    network.graph.node.append(node("GatherFeat", ["image"], ["negative"], domain="lossrt"))
    attached = attach_losses(network, losses, small_recipe)
    assert list(attached.model.functions) == [mine]
    assert_whole(network, attached, losses, image, targets)


def test_dimensions_of_one_name_and_two_meanings(small_recipe, image, targets, losses) -> None:
    """The network's H is its input's, the losses' the map's."""
    open_losses = onnx.ModelProto()
    open_losses.CopyFrom(losses)
    for entry in open_losses.graph.input:
        if entry.name.startswith("pred_") or entry.name == "hm":
            entry.type.tensor_type.shape.dim[2].dim_param = "H"
            entry.type.tensor_type.shape.dim[3].dim_param = "W"
        elif len(entry.type.tensor_type.shape.dim) > 1:
            entry.type.tensor_type.shape.dim[1].dim_param = "M"
    network = network_of(small_recipe)
    for axis, name in ((0, "B"), (2, "H"), (3, "M")):
        network.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    for output in network.graph.output:
        for axis in (2, 3):
            output.type.tensor_type.shape.dim[axis].Clear()
    attached = attach_losses(network, open_losses, small_recipe)
    shapes = {
        entry.name: [dim.dim_value or dim.dim_param for dim in entry.type.tensor_type.shape.dim]
        for entry in attached.model.graph.input
    }
    assert shapes["image"] == ["B", 3, "H", "M"]
    assert shapes["target_hm"][2:] == ["loss_H", "W"]
    assert shapes["ind"] == ["batch", "loss_M"]
