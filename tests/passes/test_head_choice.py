"""Which outputs of a network are cut off as heads, and what becomes of the others."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lossrt.errors import InputError
from lossrt.passes.head_choice import choose_heads
from lossrt.passes.split import backbone
from lossrt.runtime.ort import OrtSession
from tests.passes.networks import head_nodes, network

IMAGE = np.random.default_rng(2).normal(size=(1, 3, 16, 24)).astype(np.float32)


def _with_output(name: str, node: onnx.NodeProto, **changes) -> onnx.ModelProto:
    model = network(**changes)
    model.graph.node.append(node)
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 6, 4, 6]))
    return model


def _with_dep() -> onnx.ModelProto:
    """A head called as CenterTrack's depth, that is none: one operator from the feature map."""
    return _with_output("dep", helper.make_node("Abs", ["features"], ["dep"], "depth"))


def test_an_output_of_another_form_is_left_out_on_demand_alone() -> None:
    model = _with_dep()
    message = r"'dep'.* got node 'depth' \(Abs\); leave the others in the backbone with --heads hm,reg$"
    with pytest.raises(InputError, match=message):
        choose_heads(model)
    chosen = choose_heads(model, names=("hm", "reg"))
    assert [entry.head for entry in chosen.heads.heads] == ["hm", "reg"]
    assert (chosen.kept, chosen.dropped) == (("dep",), ())
    part = backbone(model, chosen.heads, kept=chosen.kept)
    assert part.graph.output[1] == model.graph.output[2]
    got = OrtSession(part.SerializeToString()).run({"image": IMAGE})
    assert list(got) == ["features", "dep"]
    np.testing.assert_array_equal(got["dep"], np.abs(got["features"]))


def test_a_head_that_is_not_chosen_stays_whole() -> None:
    model = network()
    chosen = choose_heads(model, names=("reg",))
    assert chosen.kept == ("hm",)
    got = OrtSession(backbone(model, chosen.heads, kept=chosen.kept).SerializeToString()).run({"image": IMAGE})
    whole = OrtSession(model.SerializeToString()).run({"image": IMAGE})
    np.testing.assert_array_equal(got["hm"], whole["hm"])


def test_heads_are_chosen_by_output_as_well() -> None:
    model = network()
    assert [e.head for e in choose_heads(model, mapping={"wh": "reg"}, names=("reg", "hm")).heads.heads] == ["wh", "hm"]
    with pytest.raises(InputError, match="--heads rg: the network has no such head or output; did you mean 'reg'"):
        choose_heads(model, names=("hm", "rg"))


def test_what_is_computed_from_a_head_is_in_neither_part() -> None:
    model = _with_output("peaks", helper.make_node("Abs", ["hm"], ["peaks"]))
    assert choose_heads(model).dropped == ("peaks",)
    assert choose_heads(model, names=("reg",)).kept == ("hm", "peaks")


def test_the_place_to_cut_chooses_its_heads() -> None:
    model = network(heads={"reg": head_nodes("reg", "stem")})
    with pytest.raises(
        InputError, match=r"got 'hm' at 'features', 'reg' at 'stem'; leave the others in the backbone with --heads hm$"
    ):
        choose_heads(model)
    chosen = choose_heads(model, at="stem")
    assert ([entry.head for entry in chosen.heads.heads], chosen.heads.features) == (["reg"], "stem")
    assert chosen.kept == ("hm",)
    assert choose_heads(model, at="features").kept == ("reg",)
    assert choose_heads(_with_dep(), at="features").kept == ("dep",)
    with pytest.raises(InputError, match=r"expected every head to start at 'stem', .* with --heads reg$"):
        choose_heads(model, names=("hm", "reg"), at="stem")


def test_a_place_where_no_head_starts_is_answered_with_where_they_do() -> None:
    with pytest.raises(
        InputError, match=r"--at 'stem': expected heads .*, got 'hm' at 'features', 'reg' at 'features'"
    ):
        choose_heads(network(), at="stem")
    same = [helper.make_node("Identity", ["features"], ["same"]), *head_nodes("reg", "same")]
    assert choose_heads(network(heads={"reg": same}), at="same").kept == ()
    with pytest.raises(InputError, match="--at 'featurs': no such value"):
        choose_heads(network(), at="featurs")


def test_a_network_without_a_head_is_told_so() -> None:
    model = _with_dep()
    del model.graph.output[:2]
    with pytest.raises(InputError, match=r"\(Abs\); no other output can be cut off$"):
        choose_heads(model)
    del model.graph.output[:]
    with pytest.raises(InputError, match="expected heads among its outputs, got none"):
        choose_heads(model)
