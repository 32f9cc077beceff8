import pytest
import torch

from lossrt.models.reference.wire import REFERENCES
from lossrt.models.upstream import UpstreamLoss
from tests.models.samples import RECIPES, tensors_of
from tests.validators.samples import sample_batch


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("objects", [0.0, 0.6], ids=["no-object", "some"])
def test_upstreams_operators_compute_the_same(recipe, objects: float) -> None:
    tensors = tensors_of(sample_batch(recipe, 4, objects=objects), torch.float64)
    losses, expected = UpstreamLoss(recipe)(tensors), REFERENCES["generic_loss"](recipe, tensors)
    assert list(losses) == list(expected)
    for name, loss in losses.items():
        assert float(loss) == pytest.approx(float(expected[name]), rel=1e-12)
