import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lossrt.errors import InputError
from lossrt.runtime.onnx_model import parse_model, read_model, refuse_types
from tests.runtime.graphs import DOUBLE, FLOAT, masked_l1, model, relu


def test_a_whole_model_passes():
    proto = parse_model(masked_l1().SerializeToString(), where="m")
    refuse_types(proto, where="m")
    assert len(proto.graph.node) == 7


@pytest.mark.parametrize(
    "content",
    [b"", b"not onnx", masked_l1().SerializeToString()[:-9], onnx.ModelProto(ir_version=10).SerializeToString()],
    ids=["empty", "garbage", "cut short", "no graph"],
)
def test_corrupt_models_are_named(content):
    with pytest.raises(InputError, match=r"model 'm': expected a valid ONNX model, got: .+; export it again"):
        parse_model(content, where="model 'm'")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.onnx.*check the path"):
        read_model(tmp_path / "absent.onnx")


def test_weights_in_other_files_are_refused():
    proto = masked_l1()
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    with pytest.raises(InputError, match=r"1 in other files .'low' first.; save it as one file"):
        parse_model(proto.SerializeToString(), where="m")


def _in_branch():
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["inner"], name="inner", value=helper.make_tensor("v", DOUBLE, [], [1.0]))],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", DOUBLE, [])],
    )
    node = helper.make_node("If", ["c"], ["y"], name="choose", then_branch=branch, else_branch=branch)
    return model([node], {"c": (TensorProto.BOOL, [])}, {"y": (DOUBLE, [])})


def _in_function():
    proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])})
    cast = helper.make_node("Cast", ["a"], ["b"], name="inner", to=DOUBLE)
    proto.functions.append(helper.make_function("own", "F", ["a"], ["b"], [cast], [helper.make_opsetid("", 18)]))
    return proto


def _cast():
    nodes = [
        helper.make_node("Cast", ["x"], ["d"], name="inner", to=DOUBLE),
        helper.make_node("Cast", ["d"], ["y"], to=1),
    ]
    return model(nodes, {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])})


def _initializer():
    nodes = [helper.make_node("Cast", ["inner"], ["y"], to=1)]
    return model(nodes, {}, {"y": (FLOAT, [2])}, {"inner": np.zeros(2)})


@pytest.mark.parametrize(
    ("proto", "name"),
    [
        (relu(DOUBLE), "input 'x' is float64; output 'y' is float64"),
        (_initializer(), "initializer 'inner' is float64"),
        (_cast(), r"node 'inner' \(Cast\) is float64"),
        (_in_branch(), r"node 'inner' \(Constant\) is float64"),
        (_in_function(), r"node 'inner' \(Cast\) is float64"),
        (relu(TensorProto.UINT16), "input 'x' is uint16"),
        (relu(TensorProto.INT16), "input 'x' is int16"),
        (relu(TensorProto.UINT64), "input 'x' is uint64"),
    ],
    ids=["input", "initializer", "cast", "branch", "function", "uint16", "int16", "uint64"],
)
def test_types_that_no_engine_keeps_are_named(proto, name):
    with pytest.raises(InputError, match=name):
        refuse_types(proto, where="m")
