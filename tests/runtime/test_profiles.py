import pytest
from onnx import helper

from lossrt.errors import InputError
from lossrt.runtime.profiles import ProfileRange, profile_inputs
from tests.runtime.graphs import FLOAT, masked_l1, model, relu


def two_inputs(first, second):
    nodes = [helper.make_node("Relu", [name], [f"{name}_out"]) for name in "ab"]
    shapes = {"a": (FLOAT, first), "b": (FLOAT, second)}
    return model(nodes, shapes, {f"{name}_out": shape for name, shape in shapes.items()})


def test_inputs_that_share_a_name_share_its_sizes():
    spans = {"B": ProfileRange(1, 10, 32), "M": ProfileRange(8, 256, 512), "unused": ProfileRange(1, 1, 1)}
    assert profile_inputs(two_inputs(["B", 2, "M"], [3, "B"]), spans) == {
        "a": ((1, 2, 8), (10, 2, 256), (32, 2, 512)),
        "b": ((3, 1), (3, 10), (3, 32)),
    }


def test_products_of_names_are_resolved():
    spans = {"B": ProfileRange(1, 2, 3), "M": ProfileRange(4, 5, 6)}
    assert profile_inputs(two_inputs(["B", "17*M"], ["B", "17 * M"]), spans)["b"] == ((1, 68), (2, 85), (3, 102))


def test_a_fixed_model_needs_no_profile():
    assert profile_inputs(masked_l1(), {"B": ProfileRange(1, 2, 3)}) == {}


def test_a_dimension_without_a_range_is_named():
    with pytest.raises(InputError, match=r"input 'x': expected a range.*\[B, 3\], got M; give"):
        profile_inputs(relu(), {"M": ProfileRange(1, 2, 3)})


def test_a_dimension_without_a_name_is_named():
    with pytest.raises(InputError, match=r"input 'x', dimension 0: open but without a name"):
        profile_inputs(relu(shape=(None, 3)), {"B": ProfileRange(1, 2, 3)})


@pytest.mark.parametrize("sizes", [(0, 1, 1), (2, 1, 3), (1, 4, 3), (-1, 1, 1)], ids=str)
def test_sizes_out_of_order_are_refused(sizes):
    with pytest.raises(InputError, match=r"expected 1 <= minimum <= optimum <= maximum"):
        ProfileRange(*sizes)
