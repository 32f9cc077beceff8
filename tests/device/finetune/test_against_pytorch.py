"""The exported step beside PyTorch's autograd and torch.optim: the same losses and weights after many steps."""

from pathlib import Path

import numpy as np
import pytest

from lossrt.arrays import read_arrays
from lossrt.device.finetune.partition import partition
from lossrt.passes.network_file import read_network
from lossrt.passes.split import write_split
from lossrt.passes.split_heads import find_heads, named_outputs
from tests.device.finetune.samples import options

pytest.importorskip("torch", reason="it is what is compared with")


def test_both_end_within_1e_4(setting, recipe, tmp_path: Path) -> None:
    from examples.pytorch_heads import tune_in_pytorch

    chosen = options(epochs=7, lr=1e-3, schedule="cosine")
    model = read_network(setting.network)
    write_split(model, find_heads(model, named_outputs(model)), tmp_path, folder=setting.network.parent)
    result = setting.run(tmp_path / "tuned.onnx", chosen=chosen)
    frames = partition([setting.sequence], recipe, fraction=chosen.validation, seed=chosen.seed)
    curves = tune_in_pytorch(tmp_path, recipe, frames, setting.images, options=chosen)
    history = result.state.history
    assert len(curves.steps) == len(history.steps) == 21
    np.testing.assert_allclose([row[3] for row in history.steps], curves.steps, rtol=1e-5)
    np.testing.assert_allclose([row[1] for row in history.validations], curves.validations, rtol=1e-5)
    tuned = read_arrays(tmp_path / "tuned.safetensors", what="heads")
    assert tuned.keys() == curves.weights.keys()
    for name, array in curves.weights.items():
        np.testing.assert_allclose(tuned[name], array, atol=1e-5)
