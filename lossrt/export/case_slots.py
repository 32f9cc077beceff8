"""Reads and writes a case's maps at the cells of its objects, whichever head they are the objects of."""

__all__ = [
    "Slots",
    "fill_every_slot",
    "objects",
    "predictions",
    "raw",
    "say",
    "strike",
    "strike_unread",
    "tell",
    "tell_heatmap",
    "thinned",
]

import numpy as np
from numpy.typing import NDArray

from lossrt.export.case_source import Arrays
from lossrt.recipe import HEADS, Recipe, prediction_name
from lossrt.targets.filling import fill_slots
from lossrt.targets.stand_ins import depth_logits

SPOILT = 40  # pixels
UNKNOWN = 0.3  # share of the targets that are masked out where masks are thinned
OFFSETS = 8  # channels after which the number of unknown targets repeats

Slots = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Image and slot of every object, or of every joint."""


def objects(arrays: Arrays, head: str = "hm") -> Slots:
    """Return the slots that hold what a head is read for."""
    image, slot = np.nonzero(arrays["mask" if HEADS[head].index == "ind" else "hm_hp_mask"])
    return image, slot


def fill_every_slot(arrays: Arrays, recipe: Recipe, rng: np.random.Generator) -> None:
    """Put an object into every slot, each object and each joint at a pixel of its own where there are enough."""
    fill_slots(arrays, recipe, np.ones(arrays["mask"].shape, dtype=np.bool_), rng.spawn(1)[0])
    pixels = recipe.map_size[0] * recipe.map_size[1]
    for index in ("ind", "hp_ind"):
        for cells in arrays.get(index, ()):
            cells[:] = rng.choice(pixels, len(cells), replace=len(cells) > pixels)
    arrays["cat"] = rng.integers(0, recipe.classes, arrays["cat"].shape)
    arrays["mask"][:] = 1


def thinned(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a [B, M, D] mask in which every channel lacks other slots, and another odd number of them.

    With an odd number above 256 known, bfloat16 cannot count them.
    """
    batch, slots, channels = shape
    mask = np.ones((batch * slots, channels), dtype=np.float32)
    for channel in range(channels):
        unknown = (int(UNKNOWN * batch * slots) | 1) + 4 * (channel % OFFSETS)
        mask[rng.permutation(batch * slots)[: min(unknown, batch * slots - 1)], channel] = 0
    return mask.reshape(shape)


def predictions(recipe: Recipe, head: str) -> list[str]:
    """Return the wire names of a head's predictions, one a stack."""
    return [prediction_name(head, stack) for stack in range(recipe.num_stacks)]


def raw(recipe: Recipe, head: str) -> bool:
    """Say whether a head's map still lacks its activation."""
    return not recipe.is_applied(head)


def say(recipe: Recipe, head: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a head's map holds to mean these values: a raw depth is said by its logit."""
    return depth_logits(values) if head == "dep" and raw(recipe, head) else values


def tell(arrays: Arrays, recipe: Recipe, head: str, name: str, values: NDArray[np.float32]) -> None:
    """Make one of a head's maps, `name`, mean [B, S, D] values at the objects' pixels."""
    image, slot = objects(arrays, head)
    flat = arrays[name].reshape(*arrays[name].shape[:2], -1)
    flat[image, :, arrays[HEADS[head].index][image, slot]] = say(recipe, head, values[image, slot])


def tell_heatmap(arrays: Arrays, head: str, name: str, values: float | NDArray[np.float64]) -> None:
    """Write one value for each object into a heatmap, `head`'s target or prediction, at its pixel and plane."""
    image, slot = objects(arrays, head)
    plane = arrays["cat" if HEADS[head].index == "ind" else "joint"][image, slot]
    flat = arrays[name].reshape(*arrays[name].shape[:2], -1)
    flat[image, plane, arrays[HEADS[head].index][image, slot]] = values


def strike(recipe: Recipe, arrays: Arrays, head: str, slots: Slots, values: NDArray[np.float64]) -> None:
    """Put one value into each of the given objects' pixels, and say that the head's target is known there."""
    image, slot = slots
    arrays[f"{head}_mask"][image, slot] = 1
    for name in predictions(recipe, head):
        flat = arrays[name].reshape(*arrays[name].shape[:2], -1)
        flat[image, :, arrays[HEADS[head].index][image, slot]] = values[:, None]


def strike_unread(recipe: Recipe, arrays: Arrays, head: str, rng: np.random.Generator) -> None:
    """Spoil pixels that no slot reads: they may not reach the loss."""
    for name in predictions(recipe, head):
        flat = arrays[name].reshape(*arrays[name].shape[:2], -1)
        for image, read in enumerate(arrays[HEADS[head].index]):
            unread = np.setdiff1d(np.arange(flat.shape[2]), read)
            at = rng.choice(unread, min(SPOILT, len(unread)), replace=False)
            flat[image][:, at] = rng.choice([np.nan, np.inf, -np.inf], (flat.shape[1], len(at)))
