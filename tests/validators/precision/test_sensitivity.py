import numpy as np
from onnx import helper

from lossrt.validators.precision.operators import operators_of
from lossrt.validators.precision.sensitivity import sensitive_tensors
from tests.validators.precision.graphs import model_of

node = helper.make_node


def test_what_a_logarithm_or_a_divisor_reads_back_to_the_last_sum() -> None:
    x = np.ones((2, 3), np.float32)
    model = model_of(
        [
            node("Sub", ["one", "x"], ["complement"]),
            node("Transpose", ["complement"], ["turned"]),
            node("Log", ["turned"], ["log"]),
            node("Mul", ["log", "t"], ["term"]),
            node("ReduceSum", ["term"], ["total"]),
            node("ReduceSum", ["m"], ["count"]),
            node("Abs", ["count"], ["positive"]),
            node("Div", ["total", "positive"], ["out"]),
        ],
        {"x": x, "t": x.T, "m": x},
        one=1.0,
    )
    assert sensitive_tensors(operators_of(model)) == {"complement", "turned", "count", "positive"}
