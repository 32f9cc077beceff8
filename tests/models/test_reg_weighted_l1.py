import math

import pytest

from lossrt.models.reference.wire import REFERENCES
from tests.models.samples import run, tensors_of
from tests.validators.samples import recipe_of, sample_batch


def test_nan_that_no_slot_reads_stays_out_of_the_regressions() -> None:
    recipe = recipe_of()
    tensors = tensors_of(sample_batch(recipe))
    tensors["ind"].clamp_(max=20)
    tensors["pred_ltrb_amodal"][:, :, 3, 5] = math.nan
    assert math.isfinite(float(run("generic_loss", recipe, tensors)["loss"]))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan], ids=str)
@pytest.mark.parametrize("mask", [0.0, 1.0], ids=["masked-out", "masked-in"])
def test_a_regression_that_is_not_finite_does_as_in_the_reference(value: float, mask: float) -> None:
    recipe = recipe_of()
    tensors = tensors_of(sample_batch(recipe))
    tensors["ind"][1, 2], tensors["wh_mask"][1, 2] = 9, mask
    tensors["pred_wh"][1, 1, 1, 3] = value
    losses, expected = run("generic_loss", recipe, tensors), REFERENCES["generic_loss"](recipe, tensors)
    for name in ("loss", "loss_wh"):
        assert str(float(losses[name])) == str(float(expected[name]))
        assert not math.isfinite(float(losses[name]))
