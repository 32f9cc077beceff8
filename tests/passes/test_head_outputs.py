import onnx
import pytest
from onnx import TensorProto, helper

from lossrt.errors import InputError
from lossrt.passes.head_outputs import head_outputs
from lossrt.recipe import load_recipe

RECIPE = load_recipe("mot17", input=(32, 64), heads={"hm": 1, "reg": 2, "wh": 2}, weights={"hm": 1, "reg": 1, "wh": 0})


def network(**outputs: object) -> onnx.ModelProto:
    values = [
        entry
        if isinstance(entry, onnx.ValueInfoProto)
        else helper.make_tensor_value_info(name, TensorProto.FLOAT, entry)
        for name, entry in outputs.items()
    ]
    for name, value in zip(outputs, values, strict=True):
        value.name = name
    graph = helper.make_graph([helper.make_node("Plugin", [], list(outputs), domain="any")], "g", [], values)
    return helper.make_model(graph)


HM, REG = ["B", 1, 8, 16], ["B", 2, 8, 16]


@pytest.mark.parametrize(
    ("outputs", "mapping", "expected"),
    [
        ({"hm": HM, "reg": REG}, {}, {"hm": "hm", "reg": "reg"}),
        ({"pred_reg": REG, "hm": HM, "pred_hm": HM}, {}, {"hm": "hm", "reg": "pred_reg"}),
        ({"o1": HM, "reg": REG}, {"hm": "o1"}, {"hm": "o1", "reg": "reg"}),
        ({"hm": REG, "reg": HM}, {"hm": "reg", "reg": "hm"}, {"hm": "reg", "reg": "hm"}),
        ({"hm": ["B", "C", "H", "W"], "reg": None}, {}, {"hm": "hm", "reg": "reg"}),
        ({"hm": onnx.ValueInfoProto(), "reg": REG}, {}, {"hm": "hm", "reg": "reg"}),
    ],
    ids=["names", "wire-names", "mapped", "swapped", "open", "undeclared"],
)
def test_outputs_are_found(outputs: dict, mapping: dict, expected: dict) -> None:
    assert head_outputs(network(**outputs), RECIPE, mapping) == expected


def test_stacks() -> None:
    recipe = RECIPE.model_copy(update={"num_stacks": 2})
    model = network(hm=HM, reg=REG, hm_stack1=HM, late=REG)
    assert head_outputs(model, recipe, {"reg_stack1": "late"}) == {
        "hm": "hm",
        "reg": "reg",
        "hm_stack1": "hm_stack1",
        "reg_stack1": "late",
    }


@pytest.mark.parametrize(
    ("outputs", "mapping", "message"),
    [
        ({"o1": HM}, {}, r"for 'hm' \[B, 1, H, W\], 'reg' .* got outputs 'o1' float\[B, 1, 8, 16\]; .*--map hm=OUTPUT --map reg="),
        ({"hm": HM, "reg": REG}, {"hn": "hm"}, "--map hn=hm: the recipe has no such head; did you mean 'hm'"),
        ({"hm": HM, "reg": REG}, {"wh": "hm"}, "--map wh=hm: the recipe has no such head"),
        ({"hm": HM, "reg": REG}, {"hm": "rag"}, "--map hm=rag: the network has no such output; did you mean 'reg'"),
        ({"hm": HM, "reg": HM}, {}, r"output 'reg': expected for head 'reg' a float of \[B, 2, 8, 16\], got float\[B, 1, 8, 16\]; name another output with --map reg="),
        ({"hm": ["B", 1, 8, 8], "reg": ["B", 16, 2]}, {}, r"(?s)output 'hm'.*float\[B, 1, 8, 8\].*output 'reg'.*float\[B, 16, 2\]"),
        ({"hm": HM, "o": REG}, {"reg": "hm"}, "output 'hm': expected for one head, got for 'hm' and 'reg'"),
    ],
    ids=["missing", "unknown-head", "no-weight", "unknown-output", "channels", "sizes", "twice"],
)  # fmt: skip
def test_what_does_not_fit(outputs: dict, mapping: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        head_outputs(network(**outputs), RECIPE, mapping)


def test_whole_numbers_are_refused() -> None:
    model = network(hm=helper.make_tensor_value_info("hm", TensorProto.INT8, HM), reg=REG)
    with pytest.raises(InputError, match=r"output 'hm': expected .* got int8\[B, 1, 8, 16\]"):
        head_outputs(model, RECIPE)
