"""Random batches for any recipe, under wire names, and small recipes that together have every head and loss."""

__all__ = ["FAMILY", "random_batch"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, JOINTS, Recipe, prediction_name

Arrays = dict[str, NDArray[Any]]
IDENTITIES = 7


def _recipe(heads: dict[str, int], **changes: Any) -> Recipe:
    plain: dict[str, Any] = {"name": "small", "input": [16, 24], "max_objs": 5, "batch": 2, "classes": heads["hm"]}
    weights = {head: round(0.3 + 0.4 * place, 1) for place, head in enumerate(heads)}
    return Recipe.model_validate({**plain, "heads": heads, "weights": weights, **changes})


_BOX = {"hm": 3, "reg": 2, "wh": 2}
_DDD = _BOX | {"tracking": 2, "dep": 1, "rot": 8, "dim": 3, "amodel_offset": 2, "nuscenes_att": 8, "velocity": 3}
_POSE = _BOX | {"hm": 1, "ltrb": 4, "hps": 2 * JOINTS, "hm_hp": JOINTS, "hp_offset": 2}
_FAIR = _BOX | {"hm": 1, "wh": 4, "id": 6}
_JOINT: dict[str, Any] = {"family": "fairmot", "identities": IDENTITIES}

FAMILY: dict[str, Recipe] = {
    "ddd": _recipe(_DDD),
    "ddd-applied": _recipe(_DDD, activation={"hm": "applied", "dep": "applied"}),
    "ddd-two-stacks": _recipe(_DDD, num_stacks=2),
    "ddd-plain-l1": _recipe(_DDD, losses={"dep": "l1", "dim": "l1", "reg": "reg_l1"}),
    "ddd-depth-alone": _recipe(_BOX | {"dep": 1}, losses={"dep": "smooth_l1", "wh": "reg_l1"}, max_objs=1),
    "pose": _recipe(_POSE),
    "pose-applied": _recipe(_POSE, activation={"hm": "applied", "hm_hp": "applied"}, num_stacks=2),
    "ctdet": _recipe(_BOX, family="centernet"),
    "ctdet-applied": _recipe(_BOX, family="centernet", activation={"hm": "applied"}, num_stacks=2),
    "ctdet-norm-wh": _recipe(_BOX, family="centernet", losses={"wh": "norm_reg_l1", "reg": "smooth_l1"}),
    "ctdet-l1": _recipe(_BOX, family="centernet", losses={"wh": "l1", "reg": "reg_weighted_l1"}),
    "fairmot": _recipe(_FAIR, **_JOINT),
    "fairmot-two-stacks": _recipe(_FAIR, num_stacks=2, **_JOINT),
    "fairmot-with-rot": _recipe({"hm": 1, "id": 6, "rot": 8}, **_JOINT),
    "fairmot-id-removed": _recipe(_FAIR, weights={"hm": 1.0, "reg": 1.0, "wh": 0.1, "id": 0.0}, **_JOINT),
    "centerpoint": _recipe(
        {"hm": 3, "anno_box": 8}, family="centerpoint", code_weights=[1.0, 0.2, 0.0, 2.5, 1.0, 0.5, 1.0, 0.1]
    ),
    "centerpoint-two-stacks": _recipe(
        {"hm": 3, "anno_box": 10}, family="centerpoint", code_weights=[1.0, 0.2] * 5, num_stacks=2
    ),
}


def random_batch(recipe: Recipe, seed: int = 0, *, spread: float = 3.0, objects: float = 0.6) -> Arrays:
    """Return predictions, targets and parameters of the recipe's generic_loss, drawn at random.

    Every loss finds its targets, whichever the recipe names: masks an object and masks an element. The last identity
    never occurs, some objects have none; some heatmap pixels are exactly 1.

    Args:
        recipe: Sizes, heads and stacks.
        seed: Seed of everything drawn.
        spread: Standard deviation of predictions and targets.
        objects: Share of the slots that hold an object.
    """
    rng = np.random.default_rng(seed)
    size = recipe.sizes
    batch, slots, pixels = size["B"], size["M"], size["H"] * size["W"]
    arrays: Arrays = {
        "ind": rng.integers(0, pixels, (batch, slots)),
        "cat": rng.integers(0, size["C"], (batch, slots)),
        "mask": (rng.random((batch, slots)) < objects).astype(np.float32),
        "hp_ind": rng.integers(0, pixels, (batch, JOINTS * slots)),
        "joint": rng.integers(0, JOINTS, (batch, JOINTS * slots)),
        "hm_hp_mask": (rng.random((batch, JOINTS * slots)) < objects).astype(np.float32),
    }
    for head, channels in recipe.heads.items():
        for stack in range(recipe.num_stacks):
            arrays[prediction_name(head, stack)] = _prediction(recipe, head, rng, spread)
        arrays |= _targets(recipe, head, channels, arrays, rng, spread)
    if recipe.family == "fairmot":
        shape = size["N"], recipe.heads["id"]
        arrays |= {"id_weight": rng.normal(0, 1, shape), "id_bias": rng.normal(0, 1, shape[:1])}
        arrays |= {"s_det": np.array(rng.normal(-1.85, 0.5)), "s_id": np.array(rng.normal(-1.05, 0.5))}
    return {name: value.astype(np.float32) if value.dtype.kind == "f" else value for name, value in arrays.items()}


def _prediction(recipe: Recipe, head: str, rng: np.random.Generator, spread: float) -> NDArray[Any]:
    values = rng.normal(0, spread, (recipe.batch, recipe.heads[head], *recipe.map_size))
    if not recipe.is_applied(head):
        return values
    return np.abs(values) if head == "dep" else np.clip(1 / (1 + np.exp(-values)), 2e-4, 1 - 2e-4)


def _targets(
    recipe: Recipe, head: str, channels: int, arrays: Arrays, rng: np.random.Generator, spread: float
) -> Arrays:
    if HEADS[head].loss == "fast_focal":
        heat = rng.random((recipe.batch, channels, *recipe.map_size)) ** 4
        # A pixel is exactly 1 at an object or in an ignored region; without objects none is.
        return {head: np.where((rng.random(heat.shape) < 0.1) & (arrays["mask"].sum() > 0), 1.0, heat)}
    shape = arrays[HEADS[head].index].shape
    known = arrays["mask" if HEADS[head].index == "ind" else "hm_hp_mask"]
    if head == "rot":
        bins = rng.integers(0, 2, (*shape, 2)) * known[:, :, None].astype(np.int64)
        return {"rotbin": bins, "rotres": rng.uniform(-np.pi, np.pi, (*shape, 2)), "rot_mask": known}
    if head == "id":
        return {"ids": rng.integers(-1, IDENTITIES - 1, shape)}
    values = rng.normal(0, spread, (*shape, channels))
    if head == "nuscenes_att":
        values = (values > 0).astype(np.float64)
    partly = rng.random((*shape, channels)) < 0.8
    return {head: values, f"{head}_mask": known[:, :, None] * partly}
