"""What a training step is timed on, and PyTorch's dense steps beside it."""

import dataclasses

import numpy as np
import pytest

from lossrt.device.bench_contenders import nominal_case
from lossrt.device.bench_step import is_step, step_case
from lossrt.errors import InputError
from lossrt.spec import check_arrays
from tests.device.bundles import l1_bundle

torch = pytest.importorskip("torch", reason="the step's signature is the torch side's")
NAME = "head_step_last_sgd"


@pytest.fixture
def bundle(tmp_path, small_recipe):
    from lossrt.models.head_step_spec import spec

    made = l1_bundle(tmp_path / "bundle", graph=NAME)
    entry = made.entry(NAME).model_copy(update={"spec": spec(small_recipe, "last", "sgd")})
    manifest = made.manifest.model_copy(update={"recipe": small_recipe, "graphs": {NAME: entry}})
    return dataclasses.replace(made, manifest=manifest)


def test_a_step_is_timed_on_one_frame_of_its_own_size(bundle, small_recipe):
    assert is_step(NAME)
    case = nominal_case(bundle, NAME, "fp32")
    sizes = check_arrays(bundle.entry(NAME).spec, case.input)
    assert (sizes["B"], sizes["H"], sizes["W"]) == (1, *small_recipe.map_size)
    assert case.input["hidden_hm"].shape == (1, 256, *small_recipe.map_size)
    assert case.input["hidden_wh"].shape == (1, 256, small_recipe.max_objs)
    assert np.array_equal(case.input["ind"], step_case(bundle, NAME).input["ind"])


def test_a_bundle_without_a_recipe_is_refused(bundle):
    other = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"recipe": None}))
    with pytest.raises(InputError, match="expected a recipe in its manifest"):
        step_case(other, NAME)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, as it loads its compiler
def test_pytorch_takes_dense_steps(bundle, small_recipe, monkeypatch):
    from lossrt.models import contenders

    seen = []
    forward = contenders.TrainedHeads.forward

    def watched(self, batch):
        seen.append({name: tensor.ndim for name, tensor in batch.items() if name.startswith("hidden_")})
        losses = forward(self, batch)
        seen.append(float(losses["loss"].detach()))
        return losses

    monkeypatch.setattr(contenders.TrainedHeads, "forward", watched)
    arrays = step_case(bundle, NAME).input | {"lr": np.asarray(1e-2, dtype=np.float32)}
    calls = contenders.pytorch_calls(NAME, small_recipe, arrays, threads=torch.get_num_threads())
    assert list(calls) == ["torch eager, dense", "torch.compile, dense"]
    for _ in range(3):
        calls["torch eager, dense"]()
    assert set(seen[0].values()) == {4}
    assert seen[5] < seen[1]
