"""Frames and heads for evaluate, on a map of 8x12."""

import numpy as np
import pytest
import safetensors.numpy

from lossrt.recipe import Recipe, load_recipe
from lossrt.spec import GraphSpec, TensorSpec
from lossrt.targets.annotations import Frame, FrameSequence

SHAPES = {"pred_hm": (1, 8, 12), "pred_reg": (2, 8, 12)}


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    heads = {"hm": 1, "reg": 2}
    return load_recipe("mot17", input=(32, 48), max_objs=8, batch=2, heads=heads, weights=dict.fromkeys(heads, 1.0))


@pytest.fixture(scope="session")
def tiny_spec() -> GraphSpec:
    inputs = (
        TensorSpec("pred_hm", "float32", ("B", 1, "H", "W"), "prediction"),
        TensorSpec("pred_reg", "float32", ("B", 2, "H", "W"), "prediction"),
        TensorSpec("hm", "float32", ("B", 1, "H", "W"), "target"),
    )
    return GraphSpec("generic_loss", inputs, (), {"B": 2, "H": 8, "W": 12})


@pytest.fixture
def make_sequence():
    """Builds a sequence of frames with these numbers, one box in each."""

    def make(numbers, name="street"):
        frames = [
            Frame(name, number, 64, 96, np.array([[8.0, 8.0, 40.0, 40.0 + number]]), np.array([1]), np.array([1]))
            for number in numbers
        ]
        return FrameSequence(name, tuple(frames))

    return make


@pytest.fixture
def write_heads():
    """Writes heads whose every value is the frame's number, plus a tenth for each head; `images` at a time."""

    def write(path, numbers, *, leave_out=(), dtype=np.float32, flat=False, **extra):
        arrays = {
            name: np.stack([np.full(shape, number + at / 10, dtype) for number in numbers])
            for at, (name, shape) in enumerate(SHAPES.items())
            if name not in leave_out
        }
        if flat:
            arrays = {name: array[0] for name, array in arrays.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays |= extra
        if path.suffix == ".npz":
            np.savez(path, **arrays)
        else:
            safetensors.numpy.save_file(arrays, path)
        return path

    return write
