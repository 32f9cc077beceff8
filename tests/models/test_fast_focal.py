import math

import numpy as np
import pytest
import torch

from lossrt.models.reference.wire import REFERENCES
from tests.models import naive
from tests.models.samples import gradients, run, tensors_of
from tests.validators.samples import recipe_of, sample_batch

EDGE = math.log(0.9999 / 1e-4)  # the logit where upstream's clamp begins, 9.2102


def test_the_clamp_has_no_gradient_outside() -> None:
    recipe = recipe_of(classes=1, heads={"hm": 1}, weights={"hm": 1.0})
    tensors = tensors_of(sample_batch(recipe), torch.float64)
    steps = torch.tensor([-80, -30, -EDGE - 1e-6, -EDGE + 1e-6, -1, 0, 1, EDGE - 1e-6, EDGE + 1e-6, 30, 80])
    logits = steps.to(torch.float64).repeat(5)[:48].view(2, 1, 4, 6)
    tensors["pred_hm"] = logits.clone().requires_grad_()
    gradient = gradients(run("fast_focal", recipe, tensors)["loss"], tensors)["pred_hm"]
    assert torch.equal(gradient == 0, logits.abs() > EDGE)


@pytest.mark.parametrize("values", [(math.inf,), (-math.inf,), (math.inf, -math.inf), (1e30, -1e30)], ids=str)
def test_infinite_logits_sit_on_the_clamp(values: tuple[float, ...]) -> None:
    recipe = recipe_of()
    arrays = sample_batch(recipe)
    arrays["pred_hm"][:] = np.resize(np.array(values, np.float32), arrays["pred_hm"].shape)
    loss = run("fast_focal", recipe, tensors_of(arrays))["loss"]
    exact = REFERENCES["fast_focal"](recipe, tensors_of(arrays, torch.float64))["loss"]
    assert float(loss) == pytest.approx(float(exact), rel=2e-6)


def test_a_batch_is_one_sum_not_a_mean_of_images() -> None:
    recipe = recipe_of()
    arrays = sample_batch(recipe, objects=0.0)
    arrays["mask"][0, 0] = 1  # one object, in the first image only
    loss = float(run("fast_focal", recipe, tensors_of(arrays, torch.float64))["loss"])
    assert loss == pytest.approx(naive.focal(recipe, arrays["pred_hm"], arrays), rel=1e-12)


@pytest.mark.parametrize("value", [100.0, math.inf], ids=str)
def test_a_logit_past_the_range_of_exp_has_no_gradient_either(value: float) -> None:
    recipe = recipe_of()
    tensors = tensors_of(sample_batch(recipe))
    tensors["pred_hm"][0, 0, 1, 2] = value
    tensors["pred_hm"].requires_grad_()
    assert float(gradients(run("fast_focal", recipe, tensors)["loss"], tensors)["pred_hm"][0, 0, 1, 2]) == 0.0
