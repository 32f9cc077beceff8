import math

import numpy as np
import pytest
import torch

from lossrt.models.reference.fast_focal import FastFocalLoss, activate
from lossrt.models.reference.wire import REFERENCES
from tests.models import naive
from tests.models.samples import RECIPES, tensors_of
from tests.validators.samples import sample_batch


def one_pixel(p: float, t: float, mask: float) -> float:
    maps = torch.full((1, 1, 1, 1), p, dtype=torch.float64), torch.full((1, 1, 1, 1), t, dtype=torch.float64)
    slot = torch.zeros(1, 1, dtype=torch.int64)
    return float(FastFocalLoss()(*maps, slot, torch.full((1, 1), mask, dtype=torch.float64), slot))


def test_one_object_on_one_pixel() -> None:
    # t = 1 takes the pixel out of the negatives.
    assert one_pixel(0.25, 1.0, 1.0) == pytest.approx(-math.log(0.25) * 0.75**2, rel=1e-14)


def test_without_objects_the_sum_is_not_divided() -> None:
    assert one_pixel(0.25, 0.5, 0.0) == pytest.approx(-math.log(0.75) * 0.25**2 * 0.5**4, rel=1e-14)


def test_a_pixel_counts_as_negative_and_as_positive() -> None:
    negative, positive = -math.log(0.75) * 0.25**2 * 0.5**4, -math.log(0.25) * 0.75**2
    assert one_pixel(0.25, 0.5, 1.0) == pytest.approx(negative + positive, rel=1e-14)


def test_two_objects_on_one_pixel_count_twice() -> None:
    p, t = torch.full((1, 1, 1, 2), 0.25, dtype=torch.float64), torch.ones(1, 1, 1, 2, dtype=torch.float64)
    slots, mask = torch.tensor([[1, 1, 0]]), torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    once = -math.log(0.25) * 0.75**2
    assert float(FastFocalLoss()(p, t, slots, mask, torch.zeros_like(slots))) == pytest.approx(2 * once / 2, rel=1e-14)


def test_activation_clamps_and_leaves_the_logits() -> None:
    logits = torch.tensor([[[[-30.0, 0.0, 30.0]]]], dtype=torch.float64)
    p = activate(logits)
    np.testing.assert_allclose(p.numpy().ravel(), [1e-4, 0.5, 1 - 1e-4], rtol=1e-15)
    assert logits.tolist() == [[[[-30.0, 0.0, 30.0]]]]


@pytest.mark.parametrize("objects", [0.0, 0.6, 1.0], ids=["no-object", "some", "all-slots"])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_against_loops(recipe, objects) -> None:
    arrays = sample_batch(recipe, 5, objects=objects)
    loss = REFERENCES["fast_focal"](recipe, tensors_of(arrays, torch.float64))["loss"]
    assert float(loss) == pytest.approx(naive.focal(recipe, arrays["pred_hm"], arrays), rel=1e-12)
