"""Regions to ignore and crowds: where the heatmaps are 1 without an object, so that no pixel in them costs anything.

Source: CenterTrack `src/lib/dataset/generic_dataset.py` (`_mask_ignore_or_crowd`). Only CenterTrack has such regions: to
CornerNet's focal loss, which CenterNet and FairMOT use, every pixel of 1 is an object, and CenterPoint leaves them out.
"""

__all__ = ["mark_regions"]

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame
from lossrt.targets.placement import cut_boxes, map_view, place_boxes

PERSON = 1  # the class whose regions hide joints


def mark_regions(
    heatmap: NDArray[np.float32], joints: NDArray[np.float32] | None, frame: Frame, recipe: Recipe
) -> None:
    """Set the regions to ignore to 1.

    As upstream, a region beside the map still marks the border cells nearest to it, a region hides the joints whatever
    class it ignores, and a crowd hides them where it is one of people.

    Args:
        heatmap: [C, H, W] float32, changed in place.
        joints: [17, H, W] float32, changed in place; None where the recipe has no such heatmap.
        frame: The frame; annotations past `recipe.max_objs` are left out, and so are classes above `recipe.classes`.
        recipe: Family, sizes and classes.
    """
    if recipe.family != "centertrack":
        return
    class_ids = frame.class_ids[: recipe.max_objs]
    ignored = (class_ids <= 0) | frame.is_crowd[: recipe.max_objs]
    at = np.flatnonzero(ignored & (np.abs(class_ids) <= recipe.classes))
    size = recipe.map_size
    placed = place_boxes(frame.boxes[at], map_view(frame, recipe, size))
    cells = cut_boxes(placed, size).astype(np.int64)
    for class_id, (left, top, right, bottom) in zip(class_ids[at].tolist(), cells.tolist(), strict=True):
        box = (slice(top, bottom + 1), slice(left, right + 1))
        planes = slice(None) if class_id == 0 else slice(abs(class_id) - 1, abs(class_id))
        heatmap[(planes, *box)] = 1
        if joints is not None and class_id <= PERSON:
            joints[(slice(None), *box)] = 1
