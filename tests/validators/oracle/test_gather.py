import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lossrt.validators.oracle.gather import gather_feat, gathered


def test_reads_pixel_y_w_plus_x_of_every_channel() -> None:
    feat = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    out = gathered(feat, np.array([[0, 2 * 5 + 3], [19, 19]]))
    assert out.dtype == np.float64
    assert out.flags.c_contiguous  # it is written to a file as it lies
    assert out[0].tolist() == [[0, 20, 40], [13, 33, 53]]
    assert out[1].tolist() == [[79, 99, 119]] * 2


@given(
    feat=hnp.arrays(np.float32, hnp.array_shapes(min_dims=4, max_dims=4, max_side=4)),
    data=st.data(),
)
def test_equals_the_loop(feat: np.ndarray, data: st.DataObject) -> None:
    batch, _, height, width = feat.shape
    ind = data.draw(hnp.arrays(np.int64, (batch, 3), elements=st.integers(0, height * width - 1)))
    out = gather_feat(feat, ind)
    assert out.terms == 1
    for b in range(batch):
        for m in range(3):
            expected = feat[b, :, ind[b, m] // width, ind[b, m] % width].astype(np.float64)
            np.testing.assert_array_equal(out.value[b, m], expected)
    np.testing.assert_array_equal(out.scale, np.abs(out.value))


def test_an_index_past_the_map_is_no_silent_read() -> None:
    with pytest.raises(IndexError):
        gathered(np.zeros((1, 1, 2, 2), np.float32), np.array([[4]]))
