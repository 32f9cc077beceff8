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

from lossrt.export.case_source import Arrays, CaseSource, encoded, focal_predictions, regressed_heads, scene
from lossrt.recipe import Recipe, prediction_name
from lossrt.targets.annotations import Frame, FramePair

CLAMP = 1e-4  # of upstream's sigmoid
BEYOND = 30.0  # logit far outside the clamp
DENORMAL = 1e-40  # float32's smallest normal number is 1.2e-38
# float16 holds neither these nor what the losses compute from them; found by trying, and held by the mutants' proof.
LOGIT, FLANK, OBJECT_LOGIT, RESIDUAL = -1.984, 0.463, 1.115, 64.2752
FAR = 1e4  # px; a regression gone astray, and still a float16 number
NEAR = 0.05  # px between two such numbers
OBJECTS = 40
UNKNOWN = 0.3  # share of the targets that are masked out where masks are thinned

Slots = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Image and slot of every object."""


def cancelling(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Predictions are all but right: what is left of every loss is a small difference of large numbers, or a clamp.

    Regressions are huge, so that a mask that scales one side only is off by far more than the loss. Each head and
    channel has a mask of its own, so that one in another's place shows. The heatmap is certain, and what it costs
    comes from the high clamp at the objects and from the low one at about as many pixels of background.
    """
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    _fill_slots(arrays, recipe, rng)
    for head in regressed_heads(recipe):
        shape = arrays[head].shape
        arrays[f"{head}_mask"] = _thinned(shape, rng)
        sign = np.where(rng.random(shape) < 0.5, -1, 1)
        arrays[head] = (sign * rng.uniform(FAR, 3 * FAR, shape)).astype(np.float32)
        for name in _predictions(recipe, head):
            _tell(arrays, name, arrays[head] + rng.normal(0, NEAR, shape).astype(np.float32))
    background = rng.random(arrays["hm"].shape) * arrays["hm"].size < arrays["mask"].sum()
    arrays["hm"] = np.where(background, np.float32(0), np.float32(1))
    _tell_heatmap(arrays, "hm", 1)
    for head, name in focal_predictions(recipe):
        arrays[name][:] = -BEYOND if _raw(recipe, head) else CLAMP
        _tell_heatmap(arrays, name, BEYOND if _raw(recipe, head) else 1 - CLAMP)
    return arrays


def uniform(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """All of the background says the same, and so do all objects, so that rounding errors have one sign and add up.

    At random numbers most of an error averages out: a map rounded to a narrower type half-way would go unseen. All
    regressions weigh alike in the total, and the objects as much as the background, so that none hides the other.
    """
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    _fill_slots(arrays, recipe, rng)
    arrays["hm"][:] = FLANK
    _tell_heatmap(arrays, "hm", 1)
    for head, name in focal_predictions(recipe):
        raw = _raw(recipe, head)
        arrays[name][:] = LOGIT if raw else _sigmoid(LOGIT)
        _tell_heatmap(arrays, name, OBJECT_LOGIT if raw else _sigmoid(OBJECT_LOGIT))
    arrays["mask"] = _thinned((batch, recipe.max_objs, 1), rng)[..., 0]
    for head in regressed_heads(recipe):
        arrays[head][:] = FLANK
        arrays[f"{head}_mask"] = _thinned(arrays[head].shape, rng)
        for name in _predictions(recipe, head):
            arrays[name][:] = FLANK + RESIDUAL / recipe.weights[head]
    return arrays


def denormals(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Predictions and targets below the smallest normal number, which a device may flush to zero."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    for head in regressed_heads(recipe):
        for name in (head, *_predictions(recipe, head)):
            arrays[name] = (DENORMAL * rng.normal(0, 1, arrays[name].shape)).astype(np.float32)
    for head, name in focal_predictions(recipe):
        if _raw(recipe, head):
            arrays[name] = (DENORMAL * rng.normal(0, 1, arrays[name].shape)).astype(np.float32)
        arrays[head] = np.where(arrays[head] < 1, np.float32(DENORMAL), np.float32(1))
    return arrays


def huge(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Regressions of 1e4 px that have nothing to do with their targets."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    for head in regressed_heads(recipe):
        for name in (head, *_predictions(recipe, head)):
            arrays[name] = rng.uniform(-FAR, FAR, arrays[name].shape).astype(np.float32)
    return arrays


def one_pixel(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Objects of one pixel of the output map: their peak on the heatmap has no flank."""
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
        _tell_heatmap(arrays, name, -BEYOND if _raw(recipe, head) else CLAMP)
    return arrays


def infinite(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Logits of ±inf, at objects too, which the clamp makes finite; regressions of ±inf, which give inf."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    image, slot = _objects(arrays)
    signs = np.where(np.arange(len(image)) % 2 == 0, np.inf, -np.inf)
    for head, name in focal_predictions(recipe):
        if _raw(recipe, head):
            struck = rng.random(arrays[name].shape) < 0.01
            arrays[name][struck] = rng.choice([-np.inf, np.inf], int(struck.sum()))
            _tell_heatmap(arrays, name, signs)
    for head in regressed_heads(recipe):
        _strike(recipe, arrays, head, (image[:2], slot[:2]), signs[:2])
    return arrays


def non_finite(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """NaN and ±inf in every prediction, each head with a fate of its own: see `_FATES`; the heatmap turns NaN."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    image, slot = _objects(arrays)
    for index, head in enumerate(regressed_heads(recipe)):
        fate = _FATES[index % len(_FATES)]
        if fate:
            count = min(len(fate), len(image))
            _strike(recipe, arrays, head, (image[:count], slot[:count]), np.array(fate[:count]))
        else:
            _strike_unread(recipe, arrays, head, rng)
    for _, name in focal_predictions(recipe):
        arrays[name][0, 0, -1, -1] = np.nan
    return arrays


# What the objects' pixels of a head hold, so that its loss is NaN, finite (pixels that no slot reads), or inf.
_FATES: tuple[tuple[float, ...], ...] = ((np.nan, np.inf, -np.inf), (), (np.inf,), (np.inf, -np.inf))


def _objects(arrays: Arrays) -> Slots:
    image, slot = np.nonzero(arrays["mask"])
    return image, slot


def _fill_slots(arrays: Arrays, recipe: Recipe, rng: np.random.Generator) -> None:
    """Put an object into every slot, each at a pixel of its own where there are enough."""
    height, width = recipe.map_size
    for image in range(len(arrays["ind"])):
        alone = recipe.max_objs <= height * width
        arrays["ind"][image] = rng.choice(height * width, recipe.max_objs, replace=not alone)
    arrays["cat"] = rng.integers(0, recipe.classes, arrays["cat"].shape)
    arrays["mask"][:] = 1


def _thinned(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a [B, M, D] mask in which every channel lacks other slots, and another odd number of them.

    With an odd number above 256 known, bfloat16 cannot count them.
    """
    batch, slots, channels = shape
    mask = np.ones((batch * slots, channels), dtype=np.float32)
    for channel in range(channels):
        unknown = (int(UNKNOWN * batch * slots) | 1) + 4 * channel
        mask[rng.permutation(batch * slots)[:unknown], channel] = 0
    return mask.reshape(shape)


def _predictions(recipe: Recipe, head: str) -> list[str]:
    return [prediction_name(head, stack) for stack in range(recipe.num_stacks)]


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def _raw(recipe: Recipe, head: str) -> bool:
    return recipe.activation.get(head) != "applied"


def _tell(arrays: Arrays, name: str, values: NDArray[np.float32]) -> None:
    """Write [B, M, D] values into the map at the objects' pixels."""
    image, slot = _objects(arrays)
    flat = arrays[name].reshape(*arrays[name].shape[:2], -1)
    flat[image, :, arrays["ind"][image, slot]] = values[image, slot]


def _tell_heatmap(arrays: Arrays, name: str, values: float | NDArray[np.float64]) -> None:
    """Write one value for each object into the heatmap, at its pixel and class."""
    image, slot = _objects(arrays)
    flat = arrays[name].reshape(*arrays[name].shape[:2], -1)
    flat[image, arrays["cat"][image, slot], arrays["ind"][image, slot]] = values


def _strike(recipe: Recipe, arrays: Arrays, head: str, slots: Slots, values: NDArray[np.float64]) -> None:
    """Put one value into each of the given objects' pixels, and say that the head's target is known there."""
    image, slot = slots
    arrays[f"{head}_mask"][image, slot] = 1
    for name in _predictions(recipe, head):
        flat = arrays[name].reshape(*arrays[name].shape[:2], -1)
        flat[image, :, arrays["ind"][image, slot]] = values[:, None]


def _strike_unread(recipe: Recipe, arrays: Arrays, head: str, rng: np.random.Generator) -> None:
    """Spoil pixels that no slot reads: they may not reach the loss."""
    for name in _predictions(recipe, head):
        flat = arrays[name].reshape(*arrays[name].shape[:2], -1)
        for image, read in enumerate(arrays["ind"]):
            unread = np.setdiff1d(np.arange(flat.shape[2]), read)
            at = rng.choice(unread, min(OBJECTS, len(unread)), replace=False)
            flat[image][:, at] = rng.choice([np.nan, np.inf, -np.inf], (flat.shape[1], len(at)))


def _specks(recipe: Recipe, index: int, rng: np.random.Generator) -> FramePair:
    """Return a frame of objects that are one map pixel wide and high, and the frame before it, a step aside."""
    count = min(OBJECTS, recipe.max_objs)
    height, width = recipe.input
    side = recipe.down_ratio
    corner = rng.uniform(0, 1, (count, 2)) * (width - 4 * side, height - 4 * side)
    names = np.arange(1, count + 1)

    def frame(number: int, shift: float) -> Frame:
        boxes = np.concatenate([corner + shift, corner + shift + side], axis=1)
        return Frame("specks", number, height, width, boxes, names, 1 + names % recipe.classes)

    return frame(2 * index, side), frame(2 * index - 1, 0)


def _in_turn(frame: Frame, recipe: Recipe) -> Frame:
    classes = 1 + np.arange(len(frame.class_ids)) % recipe.classes
    return dataclasses.replace(frame, class_ids=classes)
