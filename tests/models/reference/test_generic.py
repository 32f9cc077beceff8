import pytest
import torch

from lossrt.models.reference.generic import GenericLoss
from lossrt.models.reference.wire import REFERENCES
from lossrt.recipe import prediction_name
from tests.models import naive
from tests.models.samples import RECIPES, tensors_of
from tests.validators.samples import recipe_of, sample_batch


@pytest.mark.parametrize("objects", [0.0, 0.6], ids=["no-object", "some"])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_against_loops(recipe, objects) -> None:
    arrays = sample_batch(recipe, 7, objects=objects)
    losses = REFERENCES["generic_loss"](recipe, tensors_of(arrays, torch.float64))
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(
        naive.generic(recipe, arrays), rel=1e-12
    )


def test_upstreams_call() -> None:
    recipe = recipe_of(num_stacks=2)
    tensors = tensors_of(sample_batch(recipe), torch.float64)
    outputs = [{head: tensors[prediction_name(head, stack)] for head in recipe.heads} for stack in range(2)]
    total, losses = GenericLoss(recipe)(outputs, tensors)
    wire = REFERENCES["generic_loss"](recipe, tensors)
    assert float(total) == float(wire["loss"])
    assert {f"loss_{head}": float(loss) for head, loss in losses.items()} | {"loss": float(total)} == {
        name: float(loss) for name, loss in wire.items()
    }


def test_a_head_of_weight_0_is_not_computed() -> None:
    recipe = RECIPES["head-removed"]
    tensors = tensors_of(sample_batch(recipe))
    del tensors["pred_reg"], tensors["reg"], tensors["ltrb_amodal_mask"]
    assert list(REFERENCES["generic_loss"](recipe, tensors)) == ["loss", "loss_hm", "loss_wh", "loss_tracking"]
