"""The step's float64 oracle: against PyTorch in float64, against finite differences, and against planted faults."""

import numpy as np
import pytest
import torch

from lossrt.export.head_step_cases import step_cases
from lossrt.models.reference.head_step import head_step as reference
from lossrt.recipe import Finetune, Recipe, StepOptimizer, StepScope, load_recipe
from lossrt.spec import Estimate
from lossrt.validators.oracle.head_step import head_step
from lossrt.validators.oracle.rounded import UNIT, contracted, exact
from lossrt.validators.tolerances import judge

STEPS: list[tuple[StepScope, StepOptimizer]] = [("full", "sgd"), ("last", "adamw")]
NAMES = ["mot17", "coco", "coco_pose", "kitti", "nuscenes", "centernet_ctdet", "centerpoint"]


def _recipe(name: str, **table: float) -> Recipe:
    recipe = load_recipe(name)
    return recipe.model_copy(update={"max_objs": min(recipe.max_objs, 24), "finetune": Finetune.model_validate(table)})


def _wide(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(array.astype(np.float64) if array.dtype == np.float32 else array)
        for name, array in arrays.items()
    }


@pytest.mark.parametrize(("scope", "optimizer"), STEPS)
@pytest.mark.parametrize("name", NAMES)
def test_it_agrees_with_pytorch_in_float64(name: str, scope: StepScope, optimizer: StepOptimizer) -> None:
    recipe = _recipe(name, clip_norm=1.0, weight_decay=1e-2)
    for case, arrays in step_cases(recipe, scope, optimizer, seed=2).items():
        wanted = reference(recipe, _wide(arrays), scope=scope, optimizer=optimizer)
        found = head_step(recipe, arrays, optimizer=optimizer)
        assert set(found) == set(wanted)
        for output, value in wanted.items():
            largest = max(float(value.abs().max()), 1e-6)
            # PyTorch takes log(1 − p) and 1/(σ + ε) − 1 as they stand, which lose digits in float64 as well.
            error = float(np.abs(found[output].value - value.numpy()).max())
            assert error <= 1e-8 * largest, (case, output)


@pytest.mark.parametrize("parameter", ["hm_0_weight", "hm_2_bias", "reg_0_weight", "wh_2_weight", "tracking_0_bias"])
def test_the_gradient_is_the_slope_of_the_loss(parameter: str) -> None:
    recipe = _recipe("mot17")
    arrays = step_cases(recipe, "full", "sgd", seed=3)["nominal"]  # no momentum yet: the new one is the gradient
    gradient = head_step(recipe, arrays, optimizer="sgd")[f"new_momentum_{parameter}"].value
    place = np.unravel_index(int(np.argmax(np.abs(gradient))), gradient.shape)
    losses = []
    for sign in (1, -1):
        moved = arrays[f"param_{parameter}"].astype(np.float64)
        moved[place] += sign * 1e-6
        losses.append(float(head_step(recipe, arrays | {f"param_{parameter}": moved}, optimizer="sgd")["loss"].value))
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(gradient[place], rel=1e-4)


@pytest.mark.parametrize("fault", ["scaled", "shifted", "one element", "another head's"])
def test_a_wrong_update_fails(fault: str) -> None:
    recipe = _recipe("mot17")
    arrays = step_cases(recipe, "full", "sgd", seed=4)["started"]
    name = "new_momentum_wh_0_weight"
    right = head_step(recipe, arrays, optimizer="sgd")
    tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}
    theirs = reference(recipe, tensors, scope="full", optimizer="sgd")
    wrong = theirs[name].numpy().copy()
    assert judge(name, wrong, right[name], reference=theirs[name].numpy()).verdict == "pass"
    if fault == "scaled":
        wrong *= np.float32(1.001)
    elif fault == "shifted":
        wrong = np.roll(wrong, 1, axis=3)
    elif fault == "one element":
        wrong[0, 0, 1, 1] += np.float32(1e-4)
    else:
        arrays_of_another = head_step(recipe, arrays, optimizer="sgd")["new_momentum_tracking_0_weight"].value
        wrong[: len(arrays_of_another)] = arrays_of_another[: len(wrong)]
    assert judge(name, wrong, right[name], reference=theirs[name].numpy()).verdict == "fail"


def test_rounding_is_carried_through_a_product() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((3, 400)), rng.standard_normal((400, 5))
    first = contracted("ik,kj->ij", exact(left), exact(right), terms=400)
    assert np.allclose(first.value, left @ right)
    assert np.all(first.error >= UNIT * np.abs(left) @ np.abs(right))
    second = contracted("ik,kj->ij", first, exact(rng.standard_normal((5, 2))), terms=5)
    assert np.all(second.error > 0)


def test_every_output_is_an_estimate_of_its_shape() -> None:
    recipe = _recipe("centerpoint")
    arrays = step_cases(recipe, "last", "adamw", seed=0)["single"]
    found = head_step(recipe, arrays, optimizer="adamw")
    assert found["loss_anno_box_dims"].value.shape == (recipe.heads["anno_box"],)
    for name, estimate in found.items():
        assert isinstance(estimate, Estimate)
        assert estimate.value.shape == estimate.scale.shape, name
        assert estimate.terms >= 1
