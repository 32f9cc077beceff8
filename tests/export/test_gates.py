"""Every gate goes red on the fault that it is there for, planted into a graph that passes."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lossrt.bundle import Bundle
from lossrt.errors import InputError
from lossrt.export.gates import GateError, _perturbed, check_model, exempt_inputs
from lossrt.passes.inline import inline_functions
from tests.export.graphs import NAMES
from tests.models.samples import constants_of, signature
from tests.validators.samples import recipe_of

Surgery = Callable[[onnx.ModelProto], None]


def check(bundle: Bundle, graph: str, *operations: Surgery, inline: bool = False) -> None:
    """Check a graph of the bundle after the given operations."""
    model = onnx.load(bundle.graph_path(graph, "fp32"))
    if inline:
        model = inline_functions(model)
    for operate in operations:
        operate(model)
    recipe, spec = bundle.manifest.recipe, bundle.entry(graph).spec
    (feeds,) = [case.input for case in bundle.cases(graph, "fp32") if case.name == "duplicates"]
    check_model(model, spec, constants=constants_of(graph, recipe), feeds=[feeds])


def forget_shapes(model: onnx.ModelProto) -> None:
    """What was inferred of inner values no longer holds after surgery."""
    del model.graph.value_info[:]


def refusal(bundle: Bundle, graph: str, *operations: Surgery, inline: bool = False) -> str:
    with pytest.raises(GateError) as caught:
        check(bundle, graph, *operations, forget_shapes, inline=inline)
    message = str(caught.value)
    assert message.startswith(f"graph '{graph}': ")
    return message.removeprefix(f"graph '{graph}': ")


@pytest.mark.parametrize("inline", [False, True], ids=["function", "inline"])
@pytest.mark.parametrize("graph", NAMES)
def test_a_graph_as_exported_passes(small_bundle, graph: str, inline: bool) -> None:
    check(small_bundle, graph, inline=inline)
    check(small_bundle, graph, forget_shapes, inline=inline)


INPUTS = [(graph, tensor.name) for graph in NAMES for tensor in signature(graph, recipe_of()).inputs]


def cut_off(name: str) -> Surgery:
    """Put a fixed array in the place of an input: ones for a mask, zeros for anything else."""

    def operate(model: onnx.ModelProto) -> None:
        (kind,) = [value.type.tensor_type.elem_type for value in model.graph.input if value.name == name]
        for constant, value in (("zero", 0), ("fixed", int(name.endswith("mask")))):
            array = np.array(value, helper.tensor_dtype_to_np_dtype(kind))
            model.graph.initializer.append(numpy_helper.from_array(array, constant))
        for node in model.graph.node:
            for position, source in enumerate(node.input):
                if source == name:
                    node.input[position] = "cut"
        model.graph.node.insert(0, helper.make_node("Add", ["nothing", "fixed"], ["cut"], name="add"))
        model.graph.node.insert(0, helper.make_node("Mul", [name, "zero"], ["nothing"], name="multiply"))

    return operate


@pytest.mark.parametrize(("graph", "name"), INPUTS, ids=["-".join(pair) for pair in INPUTS])
def test_an_input_cut_off(small_bundle, graph: str, name: str) -> None:
    if name in small_bundle.entry(graph).exempt:
        check(small_bundle, graph, cut_off(name), forget_shapes)
    else:
        expected = f"no output changes with input '{name}'; it was cut off"
        assert refusal(small_bundle, graph, cut_off(name)) == expected


def set_constant(old: float, new: float) -> Surgery:
    def operate(model: onnx.ModelProto) -> None:
        found = [entry for entry in model.graph.initializer if old in numpy_helper.to_array(entry).ravel()]
        found += [
            a.t
            for n in model.graph.node
            for a in n.attribute
            if a.name == "value" and old in numpy_helper.to_array(a.t)
        ]
        assert found, f"{old} is nowhere"
        for entry in found:
            values = numpy_helper.to_array(entry)
            entry.CopyFrom(numpy_helper.from_array(np.where(values == old, np.float32(new), values), entry.name))

    return operate


CONSTANTS = [(graph, number) for graph in NAMES for number in constants_of(graph, recipe_of())]


@pytest.mark.parametrize(("graph", "number"), CONSTANTS, ids=[f"{graph}-{number:.0e}" for graph, number in CONSTANTS])
def test_a_constant_removed_or_moved_by_one_ulp(small_bundle, graph: str, number: float) -> None:
    kept = np.float32(number)
    for other in (0.0, np.nextafter(kept, np.float32(1))):
        assert refusal(small_bundle, graph, set_constant(kept, float(other))) == (
            f"constant {number!r} is gone; an optimizer folded it away"
        )


def through_double(model: onnx.ModelProto) -> None:
    """Compute nothing, in float64, behind the last node."""
    output = model.graph.output[0].name
    for node in model.graph.node:
        for position, name in enumerate(node.output):
            if name == output:
                node.output[position] = "inner"
    model.graph.node.append(helper.make_node("Cast", ["inner"], ["wide"], name="widen", to=TensorProto.DOUBLE))
    model.graph.node.append(helper.make_node("Cast", ["wide"], [output], name="narrow", to=TensorProto.FLOAT))


def double_constant(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1), "half_a_thing"))


def double_node(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.zeros(1), "v")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], name="wide_constant", value=value))


def double_in_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Cast", ["ind"], ["unused"], name="inside", to=TensorProto.DOUBLE)
    model.functions[0].node.append(node)


@pytest.mark.parametrize(
    ("operate", "where"),
    [
        (through_double, "widen"),
        (double_constant, "half_a_thing"),
        (double_node, "wide_constant"),
        (double_in_function, "inside"),
    ],
    ids=["cast", "initializer", "constant", "in-function"],
)
def test_float64(small_bundle, operate: Surgery, where: str) -> None:
    message = refusal(small_bundle, "reg_weighted_l1", operate)
    assert message == f"float64 in {where}; TensorRT would demote it in silence"


def foreign(domain: str) -> Surgery:
    def operate(model: onnx.ModelProto) -> None:
        if all(entry.domain != domain for entry in model.opset_import):
            model.opset_import.append(helper.make_opsetid(domain, 1))
        model.graph.node.append(helper.make_node("Gelu", ["ind"], ["other"], name="stranger", domain=domain))

    return operate


def foreign_in_a_branch(model: onnx.ModelProto) -> None:
    out = [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)]
    branch = helper.make_graph(
        [helper.make_node("Gelu", ["loss"], ["b"], name="stranger", domain="com.microsoft")], "branch", [], out
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["other"], then_branch=branch, else_branch=branch))


@pytest.mark.parametrize(
    ("operate", "name"),
    [
        (foreign("com.microsoft"), "com.microsoft::Gelu"),
        (foreign("lossrt"), "lossrt::Gelu"),
        (foreign("ai.onnx.ml"), "ai.onnx.ml::Gelu"),
    ],
    ids=["onnx-runtimes", "ours-without-function", "machine-learning"],
)
def test_an_operator_of_another_domain(small_bundle, operate: Surgery, name: str) -> None:
    message = refusal(small_bundle, "reg_weighted_l1", operate)
    assert name in message or "onnx refuses it" in message


def test_an_operator_of_another_domain_in_a_branch(small_bundle) -> None:
    message = refusal(small_bundle, "reg_weighted_l1", foreign_in_a_branch)
    assert message == "node 'stranger': com.microsoft::Gelu is no operator of ours"


def rename_output(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for position, name in enumerate(node.output):
            if name == "loss":
                node.output[position] = "total"
    model.graph.output[0].name = "total"


def swap_inputs(model: onnx.ModelProto) -> None:
    first, *others = [
        helper.make_tensor_value_info("", 1, None).FromString(v.SerializeToString()) for v in model.graph.input
    ]
    del model.graph.input[:]
    model.graph.input.extend([*others, first])


@pytest.mark.parametrize("operate", [rename_output, swap_inputs], ids=["renamed-output", "swapped-inputs"])
def test_another_signature(small_bundle, operate: Surgery) -> None:
    assert refusal(small_bundle, "reg_weighted_l1", operate).startswith("expected inputs and outputs ([")


def dangle(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input[0] = "nothing_makes_this"


def wrong_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64


@pytest.mark.parametrize("operate", [dangle, wrong_type], ids=lambda operate: operate.__name__)
def test_a_model_that_onnx_refuses(small_bundle, operate: Surgery) -> None:
    assert refusal(small_bundle, "reg_weighted_l1", operate).startswith("onnx refuses it: ")


def test_a_failed_gate_is_our_bug_not_the_users() -> None:
    assert GateError.exit_code == 70
    assert not issubclass(GateError, InputError)


@pytest.mark.parametrize(("classes", "exempt"), [(1, ("cat",)), (3, ())], ids=["one-class", "three-classes"])
def test_exempt_inputs_have_one_legal_value(classes: int, exempt: tuple[str, ...]) -> None:
    heads = {"hm": classes, "reg": 2, "wh": 2, "tracking": 2, "ltrb_amodal": 4}
    assert exempt_inputs(signature("fast_focal", recipe_of(classes=classes, heads=heads))) == exempt


@given(low=st.integers(-5, 5), count=st.integers(2, 50), seed=st.integers(0, 99))
def test_indices_are_perturbed_to_other_legal_ones(low: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = rng.integers(low, low + count, 64)
    after = _perturbed(before, low + count, low, {}, rng)
    assert after.dtype == before.dtype
    assert ((after >= low) & (after < low + count) & (after != before)).all()
