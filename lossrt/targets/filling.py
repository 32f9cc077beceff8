"""Changes encoded targets for the golden cases: objects where there were none, at given cells, or on one another's."""

__all__ = ["fill_slots", "place_objects_at", "share_cells"]

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lossrt.recipe import JOINTS, Recipe

Arrays = dict[str, NDArray[Any]]

SPREAD = 4.0  # standard deviation of targets that have no range of their own
RANGES: dict[str, tuple[float, float]] = {"dep": (1, 60), "dim": (0.5, 5), "hp_offset": (0, 1)}
SIZES = (1.0, 40.0)  # px of the map; for a loss that divides by the size


def fill_slots(batch: Arrays, recipe: Recipe, slots: NDArray[np.bool_], rng: Generator) -> None:
    """Put an object into each of these slots: what it lacks, a place, a class or a head's target, is made up.

    Args:
        batch: Targets with B in front, changed in place. The heatmaps stay as they are.
        recipe: Sizes and heads.
        slots: [B, M].
        rng: Everything random.
    """
    free = slots & (batch["mask"] == 0)
    height, width = recipe.map_size
    batch["ind"][free] = rng.integers(0, height * width, int(free.sum()))
    batch["cat"][free] = rng.integers(0, recipe.classes, int(free.sum()))
    if "hp_ind" in batch:
        _fill_joints(batch, recipe, slots, rng)
    for head in recipe.active_heads:
        if head == "rot":
            _fill_rotations(batch, slots, rng)
        elif head == "id":
            unknown = slots & ((batch["ids"] < 0) | (batch["mask"] == 0))
            batch["ids"][unknown] = rng.integers(0, recipe.identities or 1, int(unknown.sum()))
        elif head in batch and not head.startswith("hm"):
            _fill_head(batch, recipe, head, slots, rng)
    batch["mask"][slots] = 1


def place_objects_at(batch: Arrays, recipe: Recipe, cells: NDArray[np.int64], rng: Generator) -> None:
    """Put one object at each cell, in the first slots of every image; joint j of object k is at cell k + j, in a circle.

    Args:
        batch: Targets with B in front, changed in place.
        recipe: Sizes and heads.
        cells: [K], at most M.
        rng: Makes up what the objects lack.
    """
    slots = np.zeros(batch["mask"].shape, dtype=np.bool_)
    slots[:, : len(cells)] = True
    fill_slots(batch, recipe, slots, rng)
    batch["ind"][:, : len(cells)] = cells
    if "hp_ind" in batch:
        turn = np.add.outer(np.arange(len(cells)), np.arange(JOINTS)) % len(cells)
        batch["hp_ind"][:, : turn.size] = cells[turn].reshape(-1)


def share_cells(batch: Arrays) -> None:
    """Move every second object, and its joints, to the cells of the one before it; its targets stay its own.

    Args:
        batch: Targets with B in front, changed in place.
    """
    for image, mask in enumerate(batch["mask"]):
        slots = np.flatnonzero(mask)
        pairs = len(slots) // 2
        kept, moved = slots[0 : 2 * pairs : 2], slots[1 : 2 * pairs : 2]
        batch["ind"][image, moved] = batch["ind"][image, kept]
        if "hp_ind" in batch:
            joints = batch["hp_ind"][image].reshape(-1, JOINTS)
            joints[moved] = joints[kept]


def _fill_head(batch: Arrays, recipe: Recipe, head: str, slots: NDArray[np.bool_], rng: Generator) -> None:
    """Make up the numbers that a head does not know: by its own mask, or by the objects' where it has none."""
    values = batch[head]
    repeated = np.repeat(slots, values.shape[1] // slots.shape[1], axis=1)[:, :, None]
    own = batch.get(f"{head}_mask")
    known = np.broadcast_to((batch["mask"] > 0)[:, :, None], values.shape) if own is None else own > 0
    unknown = repeated & ~known
    count = int(unknown.sum())
    if head == "nuscenes_att":
        values[unknown] = rng.integers(0, 2, count)
    elif head in RANGES:
        values[unknown] = rng.uniform(*RANGES[head], count)
    elif recipe.loss_kind(head) == "norm_reg_l1":
        values[unknown] = rng.uniform(*SIZES, count)
    else:
        values[unknown] = rng.normal(0, SPREAD, count)
    if own is not None:
        own[np.broadcast_to(repeated, own.shape)] = 1


def _fill_joints(batch: Arrays, recipe: Recipe, slots: NDArray[np.bool_], rng: Generator) -> None:
    """Put the joints that an object lacks, or hides, somewhere on the map."""
    height, width = recipe.map_size
    unknown = np.repeat(slots, JOINTS, axis=1) & (batch["hm_hp_mask"] == 0)
    batch["hp_ind"][unknown] = rng.integers(0, height * width, int(unknown.sum()))
    batch["joint"][unknown] = np.broadcast_to(np.arange(unknown.shape[1]) % JOINTS, unknown.shape)[unknown]
    batch["hm_hp_mask"][unknown] = 1


def _fill_rotations(batch: Arrays, slots: NDArray[np.bool_], rng: Generator) -> None:
    """Turn what has no angle by one at random, in one bin or in both."""
    unknown = slots & (batch["rot_mask"] == 0)
    count = int(unknown.sum())
    bins = np.array([[1, 0], [0, 1], [1, 1]])[rng.integers(0, 3, count)]
    batch["rotbin"][unknown] = bins
    batch["rotres"][unknown] = bins * rng.uniform(-2, 2, (count, 2))
    batch["rot_mask"][unknown] = 1
