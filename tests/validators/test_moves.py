import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossrt.spec import TensorSpec
from lossrt.validators.moves import LARGEST, moves_for

SIZES = {"B": 2, "H": 3, "W": 5}
INPUTS = {
    "logits": (TensorSpec("pred_hm", "float32", ("B", "H", "W"), "prediction"), np.float32),
    "fp16 map": (TensorSpec("pred_wh", "float32", ("B", "H", "W"), "prediction"), np.float16),
    "bf16 map": (TensorSpec("pred_wh", "float32", ("B", "H", "W"), "prediction"), ml_dtypes.bfloat16),
    "probability": (TensorSpec("pred_hm", "float32", ("B", "H", "W"), "prediction", 1e-4, 1 - 1e-4), np.float16),
    "heatmap": (TensorSpec("hm", "float32", ("B", "H", "W"), "target", 0, 1), np.float32),
    "mask": (TensorSpec("reg_mask", "float32", ("B", "H", "W"), "target", 0, 1), np.float32),
    "index": (TensorSpec("ind", "int64", ("B", "H", "W"), "target", 0, "H*W"), np.int64),
}


def start(name, seed):
    spec, dtype = INPUTS[name]
    rng = np.random.default_rng(seed)
    if name in ("mask", "index"):
        return spec, rng.integers(0, 2, (2, 3, 5)).astype(dtype)
    return spec, rng.uniform(0.1, 0.9, (2, 3, 5)).astype(dtype)


@pytest.mark.parametrize("name", INPUTS)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 6))
def test_every_move_keeps_shape_type_and_bounds(name, seed, steps):
    spec, array = start(name, seed)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        moves = moves_for(spec, array, SIZES)
        chosen = sorted(moves)[int(rng.integers(len(moves)))]
        moved = moves[chosen](rng, array)
        assert (moved.shape, moved.dtype) == (array.shape, array.dtype)
        array = moved
        values = array.astype(np.float64)
        assert np.isfinite(values).all()
        if name == "mask":
            assert set(values.ravel()) <= {0, 1}
        elif name == "index":
            assert ((values >= 0) & (values < 15)).all()
        else:
            low = -LARGEST if spec.low is None else spec.low
            high = LARGEST if spec.high is None else spec.high
            assert ((values >= low) & (values <= high)).all()


@pytest.mark.parametrize("name", INPUTS)
def test_every_move_moves_and_is_seeded(name):
    spec, array = start(name, 3)
    for move in moves_for(spec, array, SIZES).values():
        tries = [move(np.random.default_rng(seed), array) for seed in range(20)]
        assert any(not np.array_equal(one, array) for one in tries)
        assert np.array_equal(tries[7], move(np.random.default_rng(7), array))
