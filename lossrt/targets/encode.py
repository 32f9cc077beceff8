"""From annotations to the arrays that the losses take: CenterTrack's encoding, without augmentation.

Source: CenterTrack `src/lib/dataset/generic_dataset.py`. Other than upstream, a frame without a previous one has its
tracking masked out; upstream would pair it with itself and teach the network that nothing moved.
"""

__all__ = ["Dropped", "Encoded", "encode_batch", "encode_frame"]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame, FramePair
from lossrt.targets.gaussian import draw_peak, gaussian_radius
from lossrt.targets.placement import PlacedObjects, cut_boxes, place_boxes, place_objects
from lossrt.targets.regressions import REGRESSIONS


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
            float32, 0 or 1; `<head>` [M, D] and `<head>_mask` [M, D] float32 for every other active head, lengths in
            px of the output map. A batch has B in front.
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
    height, width = recipe.map_size
    objects = place_objects(frame, previous, recipe)
    heatmap = np.zeros((recipe.classes, height, width), dtype=np.float32)
    _draw_ignored(heatmap, frame, recipe)
    _draw_objects(heatmap, objects)
    x, y = objects.cells.T
    arrays: dict[str, NDArray[Any]] = {
        "hm": heatmap,
        "ind": _in_slots(objects, y * width + x, recipe, np.int64),
        "cat": _in_slots(objects, objects.classes, recipe, np.int64),
        "mask": _in_slots(objects, np.ones(len(objects.slots)), recipe, np.float32),
    }
    for head in recipe.active_heads:
        if head in REGRESSIONS:
            values, known = REGRESSIONS[head](objects)
            values = np.where(known[:, None], values, np.float32(0))
            arrays[head] = _in_slots(objects, values, recipe, np.float32)
            arrays[f"{head}_mask"] = _in_slots(
                objects, np.broadcast_to(known[:, None], values.shape), recipe, np.float32
            )
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


def _in_slots(
    objects: PlacedObjects, values: NDArray[Any], recipe: Recipe, dtype: type[np.int64 | np.float32]
) -> NDArray[Any]:
    """Spread [n, ...] values over [M, ...] slots; the others stay 0."""
    array = np.zeros((recipe.max_objs, *values.shape[1:]), dtype=dtype)
    array[objects.slots] = values
    return array


def _draw_objects(heatmap: NDArray[np.float32], objects: PlacedObjects) -> None:
    sizes = objects.boxes[:, 2:] - objects.boxes[:, :2]
    radii = gaussian_radius(sizes[:, 1], sizes[:, 0])
    for plane, (column, row), radius in zip(
        objects.classes.tolist(), objects.cells.tolist(), radii.tolist(), strict=True
    ):
        draw_peak(heatmap[plane], column, row, radius)


def _draw_ignored(heatmap: NDArray[np.float32], frame: Frame, recipe: Recipe) -> None:
    """Set the regions to ignore to 1, so that no pixel in them costs anything.

    As upstream, a region beside the map still marks the border cells nearest to it.
    """
    class_ids = frame.class_ids[: recipe.max_objs]
    at = np.flatnonzero((class_ids <= 0) & (class_ids >= -recipe.classes))
    if at.size:
        size = recipe.map_size
        cells = cut_boxes(place_boxes(frame, frame.boxes[at], size), size).astype(np.int64)
        for class_id, (left, top, right, bottom) in zip(class_ids[at].tolist(), cells.tolist(), strict=True):
            planes = slice(None) if class_id == 0 else slice(-class_id - 1, -class_id)
            heatmap[planes, top : bottom + 1, left : right + 1] = 1
