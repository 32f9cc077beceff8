import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.runtime.session import Port, pick_feeds

PORTS = (Port("x", np.dtype(np.float32), (None, 3)), Port("n", np.dtype(np.int64), ()))


def test_extra_arrays_are_ignored_and_order_is_the_graphs():
    feeds = {"n": np.array(2), "spare": np.zeros(9), "x": np.zeros((4, 3), np.float32)}
    assert list(pick_feeds(PORTS, feeds, graph="g")) == ["x", "n"]


def test_arrays_come_out_contiguous_and_scalars_stay_scalars():
    strided = np.arange(12, dtype=np.float32).reshape(3, 4).T
    chosen = pick_feeds(PORTS, {"x": strided, "n": np.array(2)}, graph="g")
    assert chosen["x"].flags.c_contiguous
    assert np.array_equal(chosen["x"], strided)
    assert chosen["n"].shape == ()


def test_all_missing_arrays_are_named():
    with pytest.raises(InputError, match=r"'x': expected float32\[\?, 3\].*'n': expected int64\[\].*given: spare; add"):
        pick_feeds(PORTS, {"spare": np.zeros(1)}, graph="g")


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 3)), np.zeros((4, 2), np.float32), np.zeros((4, 3, 1), np.float32), np.zeros(3, np.float32)],
    ids=["float64", "fixed size", "too many dimensions", "too few dimensions"],
)
def test_wrong_arrays_are_named_with_both_shapes(array):
    shape = ", ".join(str(size) for size in array.shape)
    with pytest.raises(InputError, match=r"'x': expected float32.*got") as caught:
        pick_feeds(PORTS, {"x": array, "n": np.array(2)}, graph="g")
    assert f"{array.dtype.name}[{shape}]" in str(caught.value)
