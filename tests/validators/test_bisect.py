"""The node that a bisection names is the one that was changed, or the one that reads it."""

import copy

import numpy as np
import onnx
import pytest

from lossrt.bundle import Bundle
from lossrt.errors import InputError
from lossrt.passes.inline import inline_functions
from lossrt.runtime.ort import OrtSession
from lossrt.validators.bisect import bisect, first_difference
from lossrt.validators.matching import matched_values
from tests.prove.mutants import Mutant, mutants

NAN, INF = float("nan"), float("inf")
KINDS = ("operator", "order", "axis", "constant", "index", "bypass", "clamp", "scale", "batch", "rewire")


def _graph(bundle: Bundle, name: str) -> onnx.ModelProto:
    return onnx.load(bundle.graph_path(name, "fp32"))


def _find(bundle: Bundle, name: str, model: onnx.ModelProto):
    return bisect(bundle, name, model, open_model=OrtSession)


@pytest.fixture(scope="module")
def chosen(small_bundle: Bundle) -> list[Mutant]:
    """One mutant of each kind, from the middle of the whole loss."""
    every = list(mutants(_graph(small_bundle, "generic_loss")))
    by_kind = {kind: [mutant for mutant in every if mutant.kind == kind] for kind in KINDS}
    return [found[len(found) // 2] for found in by_kind.values() if found]


def test_mutants_are_found_where_they_were_made(small_bundle: Bundle, chosen: list[Mutant]) -> None:
    assert len(chosen) == len(KINDS)
    for mutant in chosen:
        found = _find(small_bundle, "generic_loss", mutant.model)
        assert found is not None, mutant.name
        inlined = inline_functions(mutant.model)
        changed = {name for node in inlined.graph.node if mutant.node in node.name for name in node.output}
        readers = {node.name for node in inlined.graph.node if changed & set(node.input)}
        assert mutant.node in found.node or found.node in readers, (mutant.name, str(found))


def test_the_graph_itself_has_no_divergence(small_bundle: Bundle) -> None:
    assert _find(small_bundle, "fast_focal", _graph(small_bundle, "fast_focal")) is None


def test_what_is_said(small_bundle: Bundle) -> None:
    model = _graph(small_bundle, "fast_focal")
    node = next(node for node in model.graph.node if node.op_type == "Log")
    node.op_type = "Exp"
    found = _find(small_bundle, "fast_focal", model)
    assert found is not None
    assert found.node == node.name
    assert found.op == "Exp"
    assert found.torch_op == "aten.log.default"
    assert found.source.endswith("forward")
    assert all(word in str(found) for word in (node.name, found.case, "got", "expected", "aten.log"))


def test_renamed_values_are_paired_by_structure(small_bundle: Bundle) -> None:
    model = inline_functions(_graph(small_bundle, "reg_weighted_l1"))
    renamed = copy.deepcopy(model)
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in renamed.graph.node:
        node.name = f"other/{node.name}" if node.name else ""
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name and name not in kept:
                    names[position] = f"other/{name}"
    for tensor in renamed.graph.initializer:
        tensor.name = f"other/{tensor.name}"
    del renamed.graph.value_info[:]
    pairs = matched_values(renamed, model)
    assert len(pairs) == sum(len(node.output) for node in model.graph.node)
    assert "structure" in {pair.by for pair in pairs}
    assert _find(small_bundle, "reg_weighted_l1", renamed) is None


@pytest.mark.parametrize(
    ("actual", "expected", "differs"),
    [
        ([1.0, 2.0], [1.0, 2.0], False),
        ([1.0, 2.000001], [1.0, 2.0], False),
        ([1.0, 2.0001], [1.0, 2.0], True),
        ([NAN, 1.0], [NAN, 1.0], False),
        ([NAN, 1.0], [0.0, 1.0], True),
        ([INF, 1.0], [INF, 1.0], False),
        ([-INF, 1.0], [INF, 1.0], True),
        ([1.0], [1.0, 1.0], True),
        ([], [], False),
    ],
    ids=["same", "rounding", "off", "nan", "nan-alone", "inf", "sign-of-inf", "shape", "empty"],
)
def test_when_values_differ(actual: list[float], expected: list[float], differs: bool) -> None:
    one, two = np.array(actual, dtype=np.float32), np.array(expected, dtype=np.float32)
    assert (first_difference(one, two) is not None) == differs


def test_integers_must_be_equal() -> None:
    assert first_difference(np.array([70_000_001]), np.array([70_000_000])) == ((0,), 70_000_001.0, 70_000_000.0)


def test_a_failure_on_values_is_a_divergence(small_bundle: Bundle) -> None:
    model = inline_functions(_graph(small_bundle, "gather_feat"))
    gather = next(node for node in model.graph.node if node.op_type == "GatherElements")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(10**6), "far"))
    position = list(model.graph.node).index(gather)
    model.graph.node.insert(
        position, onnx.helper.make_node("Add", [gather.input[1], "far"], ["beyond"], "past_the_end")
    )
    gather.input[1] = "beyond"
    found = _find(small_bundle, "gather_feat", model)
    assert found is not None
    assert found.op == "GatherElements"
    assert "failure" in str(found.actual)
    assert found.unmatched == ("past_the_end",)


def test_bad_input(small_bundle: Bundle) -> None:
    with pytest.raises(InputError, match="nope"):
        _find(small_bundle, "nope", _graph(small_bundle, "fast_focal"))
    with pytest.raises(InputError, match="fp8"):
        bisect(small_bundle, "fast_focal", _graph(small_bundle, "fast_focal"), open_model=OrtSession, precision="fp8")
    node = onnx.helper.make_node("Foo", ["pred_hm"], ["loss"], domain="foreign")
    pred = onnx.helper.make_tensor_value_info("pred_hm", onnx.TensorProto.FLOAT, [1, 1, 34, 60])
    loss = onnx.helper.make_tensor_value_info("loss", onnx.TensorProto.FLOAT, [])
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("foreign", 1)]
    foreign = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [pred], [loss]), opset_imports=opsets)
    with pytest.raises(InputError, match="foreign::Foo"):
        _find(small_bundle, "fast_focal", foreign)
