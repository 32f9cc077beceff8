"""Golden cases at the edges of the number format: inputs that are legal, rare, and hard on float arithmetic."""

__all__ = [
    "all_classes",
    "cancelling",
    "clamped",
    "denormals",
    "huge",
    "infinite",
    "non_finite",
    "one_pixel",
    "uniform",
]

import dataclasses

import numpy as np
from numpy.typing import NDArray

from lossrt.export.case_slots import (
    fill_every_slot,
    objects,
    predictions,
    raw,
    say,
    strike,
    strike_unread,
    tell,
    tell_heatmap,
    thinned,
)
from lossrt.export.case_source import Arrays, CaseSource, encoded, focal_predictions, regressed_heads, scene
from lossrt.recipe import HEADS, Recipe
from lossrt.targets.annotations import Frame, FramePair
from lossrt.targets.scene import made_up_identities

CLAMP = 1e-4  # of upstream's sigmoid
BEYOND = 30.0  # logit far outside the clamp
DENORMAL = 1e-40  # float32's smallest normal number is 1.2e-38
# float16 holds neither these nor what the losses compute from them; found by trying, and held by the mutants' proof.
LOGIT, FLANK, OBJECT_LOGIT, RESIDUAL = -1.984, 0.463, 1.115, 64.2752
FAR = 1e4  # px; a regression gone astray, and still a float16 number
NEAR = 0.05  # px between two such numbers
OBJECTS = 40
CRUMB = 0.05  # m
FREE = 0.995  # a target that costs next to nothing, and is still no object to CornerNet's focal loss


def cancelling(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Predictions are all but right: what is left of every loss is a small difference of large numbers, or a clamp.

    Regressions are huge, so that a mask that scales one side only is off by far more than the loss. Each head and
    channel has a mask of its own, so that one in another's place shows. The heatmap is certain, and what it costs
    comes from the high clamp at the objects and from the low one at about as many pixels of background.
    """
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    fill_every_slot(arrays, recipe, rng)
    for head in regressed_heads(recipe):
        shape = arrays[head].shape
        arrays[f"{head}_mask"] = thinned(shape, rng)
        sign = np.where((rng.random(shape) < 0.5) & (head != "dep"), -1, 1)
        arrays[head] = (sign * rng.uniform(FAR, 3 * FAR, shape)).astype(np.float32)
        for name in predictions(recipe, head):
            tell(arrays, recipe, head, name, arrays[head] + rng.normal(0, NEAR, shape).astype(np.float32))
    free = np.float32(FREE if recipe.loss_kind("hm") == "focal" else 1)
    for head, name in focal_predictions(recipe):
        if name == predictions(recipe, head)[0]:
            background = rng.random(arrays[head].shape) * arrays[head].size < len(objects(arrays, head)[0])
            arrays[head] = np.where(background, np.float32(0), free)
            tell_heatmap(arrays, head, head, 1)
        arrays[name][:] = -BEYOND if raw(recipe, head) else CLAMP
        tell_heatmap(arrays, head, name, BEYOND if raw(recipe, head) else 1 - CLAMP)
    return arrays


def uniform(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """All of the background says the same, and so do all objects, so that rounding errors have one sign and add up.

    At random numbers most of an error averages out: a map rounded to a narrower type half-way would go unseen. All
    regressions weigh alike in the total, and the objects as much as the background, so that none hides the other.
    """
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    fill_every_slot(arrays, recipe, rng)
    for head, name in focal_predictions(recipe):
        arrays[head][:] = FLANK
        tell_heatmap(arrays, head, head, 1)
        arrays[name][:] = LOGIT if raw(recipe, head) else _sigmoid(LOGIT)
        tell_heatmap(arrays, head, name, OBJECT_LOGIT if raw(recipe, head) else _sigmoid(OBJECT_LOGIT))
    arrays["mask"] = thinned((batch, recipe.max_objs, 1), rng)[..., 0]
    if "hm_hp_mask" in arrays:
        arrays["hm_hp_mask"] = thinned((*arrays["hm_hp_mask"].shape, 1), rng)[..., 0]
    for head in regressed_heads(recipe):
        arrays[head][:] = FLANK
        arrays[f"{head}_mask"] = thinned(arrays[head].shape, rng)
        for name in predictions(recipe, head):
            arrays[name][:] = say(recipe, head, np.array(FLANK + RESIDUAL / recipe.weights[head], dtype=np.float32))
    return arrays


def denormals(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Predictions and targets below the smallest normal number, which a device may flush to zero."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    for head in regressed_heads(recipe):
        for name in (head, *predictions(recipe, head)):
            arrays[name] = (DENORMAL * rng.normal(0, 1, arrays[name].shape)).astype(np.float32)
    for head, name in focal_predictions(recipe):
        if raw(recipe, head):
            arrays[name] = (DENORMAL * rng.normal(0, 1, arrays[name].shape)).astype(np.float32)
        arrays[head] = np.where(arrays[head] < 1, np.float32(DENORMAL), np.float32(1))
    return arrays


def huge(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Regressions of 1e4 px that have nothing to do with their targets."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    for head in regressed_heads(recipe):
        for name in (head, *predictions(recipe, head)):
            arrays[name] = rng.uniform(-FAR, FAR, arrays[name].shape).astype(np.float32)
    return arrays


def one_pixel(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Objects of one pixel of the output map: their peak on the heatmap has no flank, or CenterPoint's least one."""
    if recipe.family == "centerpoint":
        people = min(OBJECTS, recipe.max_objs)
        pairs: list[FramePair] = [
            (_crumbs(frame), None) for frame, _ in scene(recipe, batch, seed=source.seed, people=people)
        ]
    else:
        pairs = [_specks(recipe, index + 1, rng) for index in range(batch)]
    return encoded(recipe, pairs, source.seed)


def all_classes(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Every class of the recipe is there, or as many as there are slots; the classes change from slot to slot."""
    del rng
    people = min(recipe.max_objs, max(OBJECTS, recipe.classes))
    pairs = scene(recipe, batch, seed=source.seed, people=people)
    return encoded(recipe, [(_in_turn(frame, recipe), before) for frame, before in pairs], source.seed)


def clamped(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Every object is missed outright, its logit far below the clamp, on a background like any other.

    The objects then carry the loss, and with it the low clamp. On a saturated background the map would hide both.
    """
    del rng
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    for head, name in focal_predictions(recipe):
        tell_heatmap(arrays, head, name, -BEYOND if raw(recipe, head) else CLAMP)
    return arrays


def infinite(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Logits of ±inf, at objects too, which the clamp makes finite; regressions of ±inf, which give inf."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    for head, name in focal_predictions(recipe):
        if raw(recipe, head):
            struck = rng.random(arrays[name].shape) < 0.01
            arrays[name][struck] = rng.choice([-np.inf, np.inf], int(struck.sum()))
            tell_heatmap(arrays, head, name, _signs(len(objects(arrays, head)[0])))
    for head in regressed_heads(recipe):
        image, slot = objects(arrays, head)
        strike(recipe, arrays, head, (image[:2], slot[:2]), _signs(len(image[:2])))
    return arrays


def non_finite(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """NaN and ±inf in every prediction, each head with a fate of its own: see `_FATES`; the heatmap turns NaN."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    for index, head in enumerate(regressed_heads(recipe)):
        fate = _FATES[index % len(_FATES)]
        if fate:
            image, slot = objects(arrays, head)
            count = min(len(fate), len(image))
            strike(recipe, arrays, head, (image[:count], slot[:count]), np.array(fate[:count]))
        else:
            strike_unread(recipe, arrays, head, rng)
    for _, name in focal_predictions(recipe):
        arrays[name][0, 0, -1, -1] = np.nan
    for head in recipe.active_heads:
        if head not in regressed_heads(recipe) and HEADS[head].loss != "fast_focal":
            strike_unread(recipe, arrays, head, rng)
    return arrays


# What the objects' pixels of a head hold, so that its loss is NaN, finite (pixels that no slot reads), or inf.
_FATES: tuple[tuple[float, ...], ...] = ((np.nan, np.inf, -np.inf), (), (np.inf,), (np.inf, -np.inf))


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def _signs(count: int) -> NDArray[np.float64]:
    return np.where(np.arange(count) % 2 == 0, np.inf, -np.inf)


def _specks(recipe: Recipe, index: int, rng: np.random.Generator) -> FramePair:
    """Return a frame of objects that are one map pixel wide and high, and the frame before it, a step aside."""
    count = min(OBJECTS, recipe.max_objs)
    height, width = recipe.input
    side = recipe.down_ratio
    corner = rng.uniform(0, 1, (count, 2)) * (width - 4 * side, height - 4 * side)
    names = np.arange(1, count + 1)

    def frame(number: int, shift: float) -> Frame:
        boxes = np.concatenate([corner + shift, corner + shift + side], axis=1)
        identities = made_up_identities(names, recipe)
        return Frame("specks", number, height, width, boxes, names, 1 + names % recipe.classes, identities=identities)

    return frame(2 * index, side), frame(2 * index - 1, 0)


def _crumbs(frame: Frame) -> Frame:
    """Return the frame with boxes on the ground that are far smaller than a pixel of the map."""
    if frame.ground is None:
        return frame
    sizes = np.full_like(frame.ground.sizes, CRUMB)
    return dataclasses.replace(frame, ground=dataclasses.replace(frame.ground, sizes=sizes))


def _in_turn(frame: Frame, recipe: Recipe) -> Frame:
    classes = 1 + np.arange(len(frame.class_ids)) % recipe.classes
    return dataclasses.replace(frame, class_ids=classes)
