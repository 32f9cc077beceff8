import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from lossrt.export.gather_function import BODIES, gather_function, gather_op
from lossrt.passes.inline import inline_functions

TYPES = {"float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "double": TensorProto.DOUBLE}


def model_of(body: str, kind: int, *, opset: int = 18) -> onnx.ModelProto:
    """One GatherFeat and its function, everything open."""
    graph = helper.make_graph(
        [helper.make_node("GatherFeat", ["feat", "ind"], ["gathered"], domain="lossrt")],
        "gather",
        [
            helper.make_tensor_value_info("feat", kind, ["B", "D", "H", "W"]),
            helper.make_tensor_value_info("ind", TensorProto.INT64, ["B", "M"]),
        ],
        [helper.make_tensor_value_info("gathered", kind, ["B", "M", "D"])],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("lossrt", 1)]
    functions = [gather_function(body, opset=opset)]
    return helper.make_model(graph, functions=functions, opset_imports=imports, ir_version=10)


def loops(feat: np.ndarray, ind: np.ndarray) -> np.ndarray:
    out = np.empty((*ind.shape, feat.shape[1]), feat.dtype)
    for image, slot in np.ndindex(ind.shape):
        y, x = divmod(int(ind[image, slot]), feat.shape[3])
        out[image, slot] = feat[image, :, y, x]
    return out


SHAPES = {
    "one-of-each": (1, 1, 1, 1, 1),
    "wide": (3, 2, 2, 7, 5),
    "high": (2, 5, 7, 2, 9),
    "more-slots-than-pixels": (2, 3, 2, 3, 70),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("body", BODIES)
def test_every_body_reads_every_slots_pixel(body: str, kind: int, shape: tuple[int, ...]) -> None:
    batch, channels, height, width, slots = shape
    rng = np.random.default_rng(0)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    feat = rng.normal(0, 1, (batch, channels, height, width)).astype(dtype)
    ind = rng.integers(0, height * width, (batch, slots))
    model = model_of(body, kind)
    onnx.checker.check_model(model, full_check=True)
    for form in (model, inline_functions(model)):
        session = onnxruntime.InferenceSession(form.SerializeToString(), providers=["CPUExecutionProvider"])
        (out,) = session.run(None, {"feat": feat, "ind": ind})
        np.testing.assert_array_equal(out, loops(feat, ind))


@pytest.mark.parametrize("body", BODIES)
def test_the_body_is_made_of_standard_operators_of_the_models_opset(body: str) -> None:
    function = gather_function(body, opset=17)
    assert {node.domain for node in function.node} == {""}
    assert [(entry.domain, entry.version) for entry in function.opset_import] == [("", 17)]


def test_the_schema_is_registered_for_the_time_being() -> None:
    for _ in range(2):
        with gather_op() as operator:
            assert operator.op_schema.name == "GatherFeat"
            assert onnx.defs.get_schema("GatherFeat", 1, "lossrt").since_version == 1
        with pytest.raises(onnx.defs.SchemaError):
            onnx.defs.get_schema("GatherFeat", 1, "lossrt")
