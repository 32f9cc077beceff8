"""Levels must follow the values: exactly through movement and element by element, to everything through all else."""

import numpy as np
import pytest
from onnx import helper

from lossrt.validators.precision.blame import carried_levels
from lossrt.validators.precision.judgement import Tensor
from lossrt.validators.precision.operators import operators_of
from tests.validators.precision.graphs import model_of

X = np.arange(6, dtype=np.float32).reshape(2, 3)
LEVELS = np.array([[0, 2, 0], [0, 0, 4]], np.uint8)
FLAT = np.array([1, 0, 3], np.uint8)
CASES = {
    "one element": ("Log", ["x"], {}, LEVELS),
    "broadcast": ("Add", ["x", "v"], {}, np.maximum(LEVELS, FLAT)),
    "transposed": ("Transpose", ["x"], {}, LEVELS.T),
    "joined": ("Concat", ["x", "x"], {"axis": 0}, np.concatenate([LEVELS, LEVELS])),
    "gathered": ("Gather", ["x", "i"], {"axis": 1}, LEVELS[:, [2, 0]]),
    "gathered by a faulty index": ("Gather", ["x", "f"], {"axis": 1}, np.maximum(LEVELS[:, [2, 0]], 2)),
    "padded": ("Pad", ["x", "p"], {}, np.pad(LEVELS, ((0, 0), (1, 0)))),
    "chosen": ("Where", ["c", "x", "v"], {}, np.where([[True], [False]], LEVELS, FLAT)),
    "summed": ("ReduceSum", ["x"], {}, np.full((1, 1), 4)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_carried(case) -> None:
    op, names, attributes, wanted = case
    values = {
        "x": X,
        "v": X[0],
        "i": np.array([2, 0]),
        "f": np.array([2, 0]),
        "p": np.array([0, 1, 0, 0]),
        "c": np.array([[True], [False]]),
    }
    faulty = {"x": LEVELS, "v": FLAT, "f": np.array([0, 2], np.uint8)}
    tensors = {
        name: Tensor(array, array, faulty.get(name, np.zeros(array.shape, np.uint8))) for name, array in values.items()
    }
    feeds = {name: values[name] for name in dict.fromkeys(names)}
    (operator,) = operators_of(model_of([helper.make_node(op, names, ["out"], **attributes)], feeds))
    (got,) = carried_levels(operator, {name: tensors[name] for name in operator.reads}, [wanted.shape])
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, wanted)
