"""Puts annotated boxes onto the output map, as CenterTrack does when it evaluates: no augmentation.

Source: CenterTrack `src/lib/utils/image.py` (`get_affine_transform`) and `src/lib/dataset/generic_dataset.py`.
Coordinates are rounded to float32 where upstream stores them so, hence cells agree even where a box ends on a border.
"""

__all__ = ["PlacedObjects", "cut_boxes", "place_boxes", "place_objects"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame


@dataclass(frozen=True, slots=True, eq=False)
class PlacedObjects:
    """The n objects of a frame that have a class and an area on the output map. Lengths are in px of that map.

    Attributes:
        frame: The frame they come from.
        slots: [n] int64, each object's slot: its index among the frame's annotations.
        classes: [n] int64, from 0.
        amodal: [n, 4] float32, left, top, right, bottom, reaching past the map where the object does.
        boxes: [n, 4] float32, the same cut to [0, W - 1] x [0, H - 1].
        centres: [n, 2] float32, x and y of the cut box's middle.
        cells: [n, 2] int64, the centres without their fraction.
        previous_centres: [n, 2] float32, x and y in the previous frame; 0 where unknown.
        tracked: [n] bool, True where the previous centre is known.
    """

    frame: Frame
    slots: NDArray[np.int64]
    classes: NDArray[np.int64]
    amodal: NDArray[np.float32]
    boxes: NDArray[np.float32]
    centres: NDArray[np.float32]
    cells: NDArray[np.int64]
    previous_centres: NDArray[np.float32]
    tracked: NDArray[np.bool_]


def place_boxes(frame: Frame, boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    """Map boxes from an image onto a map whose centre is the image's, scaled by map width over the longer image side.

    Args:
        frame: The frame whose image size decides.
        boxes: [N, 4] left, top, right, bottom, image px.
        size: Height and width of the map, px.

    Returns:
        [N, 4] float32, px of the map, not cut to it.
    """
    height, width = size
    scale = width / max(frame.height, frame.width)
    shift_x, shift_y = width / 2 - scale * frame.width / 2, height / 2 - scale * frame.height / 2
    rounded = boxes.astype(np.float32).astype(np.float64)
    placed: NDArray[np.float64] = rounded * scale + np.array([shift_x, shift_y, shift_x, shift_y])
    return placed.astype(np.float32)


def cut_boxes(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Cut [N, 4] boxes to the last row and column of a map of that height and width, px."""
    height, width = size
    limit = np.array([width - 1, height - 1, width - 1, height - 1], dtype=np.float32)
    return np.clip(boxes, np.float32(0), limit)


def place_objects(frame: Frame, previous: Frame | None, recipe: Recipe) -> PlacedObjects:
    """Place the objects that fit the recipe's slots.

    Args:
        frame: The frame; annotations past `recipe.max_objs` are left out, and so are classes above `recipe.classes`.
        previous: The frame before it; None leaves every object untracked.
        recipe: Map size, classes and slots.
    """
    count = recipe.max_objs
    class_ids = frame.class_ids[:count]
    amodal = place_boxes(frame, frame.boxes[:count], recipe.map_size)
    boxes = cut_boxes(amodal, recipe.map_size)
    slots = np.flatnonzero((class_ids >= 1) & (class_ids <= recipe.classes) & _has_area(boxes))
    centres = _middles(boxes[slots])
    previous_centres, tracked = _look_back(frame, frame.track_ids[slots], previous, recipe)
    return PlacedObjects(
        frame=frame,
        slots=slots,
        classes=class_ids[slots] - 1,
        amodal=amodal[slots],
        boxes=boxes[slots],
        centres=centres,
        cells=centres.astype(np.int64),
        previous_centres=previous_centres,
        tracked=tracked,
    )


def _has_area(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    left, top, right, bottom = boxes.T
    found: NDArray[np.bool_] = (right > left) & (bottom > top)
    return found


def _middles(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return (boxes[:, :2] + boxes[:, 2:]) / np.float32(2)


def _look_back(
    frame: Frame, track_ids: NDArray[np.int64], previous: Frame | None, recipe: Recipe
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Find where the tracks were: [n, 2] centres in px of the output map, and [n] whether each is known.

    Upstream cuts the previous boxes to the network's input and then divides by down_ratio, takes ignored people as
    well, and the first of several with the same id.
    """
    centres = np.zeros((len(track_ids), 2), dtype=np.float32)
    tracked = np.zeros(len(track_ids), dtype=np.bool_)
    if previous is None:
        return centres, tracked
    boxes = cut_boxes(place_boxes(frame, previous.boxes, recipe.input), recipe.input)
    known = (np.abs(previous.class_ids) <= recipe.classes) & (previous.track_ids >= 0) & _has_area(boxes)
    ids, first = np.unique(previous.track_ids[known], return_index=True)
    if ids.size:
        at = np.minimum(np.searchsorted(ids, track_ids), ids.size - 1)
        tracked[:] = ids[at] == track_ids
        middles = _middles(boxes[known][first]) / np.float32(recipe.down_ratio)
        centres[tracked] = middles[at[tracked]]
    return centres, tracked
