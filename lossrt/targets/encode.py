"""From annotations to the arrays that the losses take: each family's encoding, without augmentation.

Source: CenterTrack `src/lib/dataset/generic_dataset.py`; the relatives' are named where they differ. Other than
upstream, a frame without a previous one has its tracking masked out; upstream would pair it with itself and teach the
network that nothing moved.
"""

__all__ = ["Dropped", "Encoded", "encode_batch", "encode_frame"]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.recipe import LossKind, Recipe
from lossrt.targets.annotations import Frame, FramePair
from lossrt.targets.birds_eye import anno_box, place_on_ground
from lossrt.targets.gaussian import draw_peak
from lossrt.targets.identities import identity_targets
from lossrt.targets.placement import PlacedObjects, place_objects
from lossrt.targets.poses import joint_indices, joint_targets
from lossrt.targets.regions import mark_regions
from lossrt.targets.regressions import REGRESSIONS, Regression
from lossrt.targets.spatial import attributes, rotation_targets

GATHERED: dict[str, Regression] = {**REGRESSIONS, "nuscenes_att": attributes, "anno_box": anno_box}
ONE_MASK: frozenset[LossKind] = frozenset({"reg_l1", "norm_reg_l1", "l1", "smooth_l1", "code_weighted_l1"})
"""Losses that take the objects' own mask instead of one of the head's."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Annotations of one frame that found no slot: the `count` last ones of frame `frame` of `sequence`."""

    sequence: str
    frame: int
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Targets by their name on the wire, and what they leave out.

    Attributes:
        arrays: `hm` [C, H, W] float32 in [0, 1]; `ind` [M] int64 in [0, H·W); `cat` [M] int64 in [0, C); `mask` [M]
            float32, 0 or 1; for every other active head `<head>` [M, D] float32, in the head's unit, with
            `<head>_mask` [M, D] where its loss takes one. Poses add `hm_hp` [17, H, W], `hp_ind` [17·M], `joint`
            [17·M] and `hm_hp_mask` [17·M], and `hp_offset` has 17·M slots. Rotations are `rotbin` [M, 2] int64,
            `rotres` [M, 2], rad, and `rot_mask` [M]; identities `ids` [M] int64, -1 for none. A batch has B in front.
        dropped: One entry for each frame with more annotations than slots.
    """

    arrays: dict[str, NDArray[Any]]
    dropped: tuple[Dropped, ...]


def encode_frame(frame: Frame, previous: Frame | None, recipe: Recipe) -> Encoded:
    """Encode one frame.

    Args:
        frame: The frame. Annotation k takes slot k, so slots in use need not be the first ones.
        previous: The frame before it, for the tracking offsets; None masks them out.
        recipe: Sizes and heads; heads of weight 0 are left out.
    """
    width = recipe.map_size[1]
    objects = (
        place_on_ground(frame, recipe) if recipe.family == "centerpoint" else place_objects(frame, previous, recipe)
    )
    x, y = objects.cells.T
    heatmap = np.zeros((recipe.classes, *recipe.map_size), dtype=np.float32)
    arrays: dict[str, NDArray[Any]] = {
        "hm": heatmap,
        "ind": _in_slots(objects, y * width + x, np.int64),
        "cat": _in_slots(objects, objects.classes, np.int64),
        "mask": _in_slots(objects, np.ones(len(objects.slots)), np.float32),
    }
    _draw_objects(heatmap, objects)
    arrays.update(_joint_arrays(objects))
    mark_regions(heatmap, arrays.get("hm_hp"), frame, recipe)
    for head in recipe.active_heads:
        if head in GATHERED:
            _add_gathered(arrays, head, objects)
    if "rot" in recipe.active_heads:
        rotation = rotation_targets(objects)
        arrays["rotbin"] = _in_slots(objects, rotation["rotbin"], np.int64)
        for name in ("rotres", "rot_mask"):
            arrays[name] = _in_slots(objects, rotation[name], np.float32)
    if "id" in recipe.active_heads:
        arrays["ids"] = _in_slots(objects, identity_targets(objects), np.int64)
    left_over = len(frame.class_ids) - recipe.max_objs
    dropped = (Dropped(frame.sequence, frame.index, left_over),) if left_over > 0 else ()
    return Encoded(arrays=arrays, dropped=dropped)


def encode_batch(pairs: Sequence[FramePair], recipe: Recipe) -> Encoded:
    """Encode frames, each with the one before it, and stack them along B.

    Args:
        pairs: B pairs, as `lossrt.targets.annotations.frame_pairs` gives them.
        recipe: Sizes and heads; its `batch` is not looked at.

    Raises:
        InputError: There is no frame.
    """
    if not pairs:
        raise InputError("batch: expected at least one frame, got none; give annotations with frames")
    frames = [encode_frame(frame, previous, recipe) for frame, previous in pairs]
    return Encoded(
        arrays={name: np.stack([encoded.arrays[name] for encoded in frames]) for name in frames[0].arrays},
        dropped=tuple(entry for encoded in frames for entry in encoded.dropped),
    )


def _in_slots(objects: PlacedObjects, values: NDArray[Any], dtype: type[np.int64 | np.float32]) -> NDArray[Any]:
    """Spread [n, ...] values over [M, ...] slots; the others stay 0."""
    array = np.zeros((objects.recipe.max_objs, *values.shape[1:]), dtype=dtype)
    array[objects.slots] = values
    return array


def _add_gathered(arrays: dict[str, NDArray[Any]], head: str, objects: PlacedObjects) -> None:
    """Add a head's values and its mask; a head without a mask of its own masks the objects that it knows nothing of."""
    values, known = GATHERED[head](objects)
    channels = objects.recipe.heads[head]
    arrays[head] = _in_slots(objects, values, np.float32).reshape(-1, channels)
    if objects.recipe.loss_kind(head) in ONE_MASK:
        arrays["mask"][objects.slots] *= known.all(axis=1)
    else:
        arrays[f"{head}_mask"] = _in_slots(objects, known, np.float32).reshape(-1, channels)


def _joint_arrays(objects: PlacedObjects) -> dict[str, NDArray[Any]]:
    """Return what the heads `hm_hp` and `hp_offset` need beside their values: 17 slots an object, one a joint."""
    if "hm_hp" not in objects.recipe.active_heads:
        return {}
    heatmap, slotted = joint_targets(objects)
    return {
        "hm_hp": heatmap,
        "hp_ind": _in_slots(objects, joint_indices(objects), np.int64).reshape(-1),
        "hm_hp_mask": _in_slots(objects, slotted["hm_hp_mask"], np.float32).reshape(-1),
        "joint": _in_slots(objects, slotted["joint"], np.int64).reshape(-1),
    }


def _draw_objects(heatmap: NDArray[np.float32], objects: PlacedObjects) -> None:
    for plane, (column, row), radius in zip(
        objects.classes.tolist(), objects.cells.tolist(), objects.radii.tolist(), strict=True
    ):
        draw_peak(heatmap[plane], column, row, radius)
