"""Puts annotated boxes onto the output map, as each family does when it evaluates: no augmentation.

Sources: CenterTrack `src/lib/utils/image.py` (`get_affine_transform`) and `src/lib/dataset/generic_dataset.py`;
CenterNet `src/lib/datasets/sample/ctdet.py`; FairMOT `src/lib/datasets/dataset/jde.py` (`letterbox`, `JointDataset`).
Coordinates are rounded to float32 where upstream stores them so, hence cells agree even where a box ends on a border.
"""

__all__ = [
    "PlacedObjects",
    "View",
    "cut_boxes",
    "image_view",
    "map_view",
    "place_boxes",
    "place_objects",
    "place_points",
    "previous_boxes",
]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame
from lossrt.targets.gaussian import gaussian_radius


@dataclass(frozen=True, slots=True)
class View:
    """From image px to px of a map: one scale for both axes, then a shift.

    Attributes:
        scale: Map px to one image px.
        shift: x and y of the image's corner, px of the map.
    """

    scale: float
    shift: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class PlacedObjects:
    """The n objects of a frame that have a class and an area on the output map. Lengths are in px of that map.

    Attributes:
        frame: The frame they come from.
        recipe: The recipe that they are placed for.
        slots: [n] int64, each object's slot: its index among the frame's annotations.
        classes: [n] int64, from 0.
        amodal: [n, 4] float32, left, top, right, bottom, reaching past the map where the object does.
        boxes: [n, 4] float32, the box to learn: the same cut to [0, W - 1] x [0, H - 1]; FairMOT's is not cut.
        centres: [n, 2] float32, x and y of the box's middle; FairMOT cuts the middle instead of the box.
        cells: [n, 2] int64, the centres without their fraction.
        radii: [n] int64, of the objects' peaks.
        previous_centres: [n, 2] float32, x and y in the previous frame; 0 where unknown.
        tracked: [n] bool, True where the previous centre is known.
    """

    frame: Frame
    recipe: Recipe
    slots: NDArray[np.int64]
    classes: NDArray[np.int64]
    amodal: NDArray[np.float32]
    boxes: NDArray[np.float32]
    centres: NDArray[np.float32]
    cells: NDArray[np.int64]
    radii: NDArray[np.int64]
    previous_centres: NDArray[np.float32]
    tracked: NDArray[np.bool_]


def map_view(frame: Frame, recipe: Recipe, size: tuple[int, int]) -> View:
    """Return where a frame's image lies on a map of that height and width, px."""
    return image_view((frame.height, frame.width), recipe, size)


def image_view(image: tuple[int, int], recipe: Recipe, size: tuple[int, int]) -> View:
    """Return where an image of that height and width, px, lies on a map of the height and width `size`, px.

    CenterTrack and CenterNet put the image's centre onto the map's and fit its longer side to the map's width. FairMOT
    fits the whole image into the network's input, to whole pixels, and pads it evenly.
    """
    (image_height, image_width), (height, width) = image, size
    if recipe.family == "fairmot":
        shrink = recipe.input[1] / width
        ratio = min(recipe.input[0] / image_height, recipe.input[1] / image_width)
        padded_x = (recipe.input[1] - round(image_width * ratio)) / 2
        padded_y = (recipe.input[0] - round(image_height * ratio)) / 2
        return View(ratio / shrink, (padded_x / shrink, padded_y / shrink))
    scale = width / max(image_height, image_width)
    return View(scale, (width / 2 - scale * image_width / 2, height / 2 - scale * image_height / 2))


def place_points(points: NDArray[np.float64], view: View) -> NDArray[np.float64]:
    """Map [..., 2] points, x and y in image px, onto a map; rounded to float32 before, as upstream, and not after."""
    rounded = points.astype(np.float32).astype(np.float64)
    placed: NDArray[np.float64] = rounded * view.scale + np.array(view.shift)
    return placed


def place_boxes(boxes: NDArray[np.float64], view: View) -> NDArray[np.float32]:
    """Map [N, 4] boxes, image px, onto a map, not cut to it."""
    return place_points(boxes.reshape(-1, 2, 2), view).reshape(-1, 4).astype(np.float32)


def cut_boxes(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Cut [N, 4] boxes to the last row and column of a map of that height and width, px."""
    return np.clip(boxes, np.float32(0), np.tile(_last_cell(size), 2))


def previous_boxes(previous: Frame, view: View, recipe: Recipe) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Place a previous frame's annotations on the network's input, where upstream looks for what was there.

    Args:
        previous: The frame.
        view: Where its image lies on the network's input.
        recipe: Classes and input size.

    Returns:
        [N, 4] boxes, px of the network's input, cut to it; and [N] bool, False for what upstream leaves out: a crowd,
        a class above the recipe's, a box without an area there. Ignored people stay.
    """
    boxes = cut_boxes(place_boxes(previous.boxes, view), recipe.input)
    counted = (np.abs(previous.class_ids) <= recipe.classes) & ~previous.is_crowd
    return boxes, counted & _has_area(boxes)


def place_objects(frame: Frame, previous: Frame | None, recipe: Recipe) -> PlacedObjects:
    """Place the objects that fit the recipe's slots.

    Args:
        frame: The frame; annotations past `recipe.max_objs` are left out, and so are classes above `recipe.classes`.
            A crowd is no object, except to CenterNet, which never looks.
        previous: The frame before it; None leaves every object untracked.
        recipe: Map size, classes, slots, and the family whose rules hold.
    """
    count = recipe.max_objs
    class_ids = frame.class_ids[:count]
    single = ~frame.is_crowd[:count] | (recipe.family == "centernet")
    amodal = place_boxes(frame.boxes[:count], map_view(frame, recipe, recipe.map_size))
    whole = recipe.family == "fairmot"
    boxes = amodal if whole else cut_boxes(amodal, recipe.map_size)
    slots = np.flatnonzero((class_ids >= 1) & (class_ids <= recipe.classes) & single & _has_area(boxes))
    centres = _middles(boxes[slots])
    if whole:
        centres = np.clip(centres, np.float32(0), _last_cell(recipe.map_size))
    sizes = boxes[slots, 2:] - boxes[slots, :2]
    previous_centres, tracked = _look_back(frame, frame.track_ids[slots], previous, recipe)
    return PlacedObjects(
        frame=frame,
        recipe=recipe,
        slots=slots,
        classes=class_ids[slots] - 1,
        amodal=amodal[slots],
        boxes=boxes[slots],
        centres=centres,
        cells=centres.astype(np.int64),
        radii=gaussian_radius(sizes[:, 1], sizes[:, 0]),
        previous_centres=previous_centres,
        tracked=tracked,
    )


def _last_cell(size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = size
    return np.array([width - 1, height - 1], dtype=np.float32)


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

    Upstream cuts the previous boxes to the network's input and then divides by down_ratio, and takes the first of
    several with the same id.
    """
    centres = np.zeros((len(track_ids), 2), dtype=np.float32)
    tracked = np.zeros(len(track_ids), dtype=np.bool_)
    if previous is None:
        return centres, tracked
    boxes, counted = previous_boxes(previous, map_view(frame, recipe, recipe.input), recipe)
    known = counted & (previous.track_ids >= 0)
    ids, first = np.unique(previous.track_ids[known], return_index=True)
    if ids.size:
        at = np.minimum(np.searchsorted(ids, track_ids), ids.size - 1)
        tracked[:] = ids[at] == track_ids
        middles = _middles(boxes[known][first]) / np.float32(recipe.down_ratio)
        centres[tracked] = middles[at[tracked]]
    return centres, tracked
