"""The targets of human poses: offsets to the joints, the joints' own heatmap, and the part that its cells lose.

Source: CenterTrack `src/lib/dataset/generic_dataset.py` (`_add_hps`). Someone without keypoints counts, as there, as one
of whom no joint is annotated.
"""

__all__ = ["hps", "hp_offset", "joint_indices", "joint_targets"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import JOINTS
from lossrt.targets.gaussian import draw_peak
from lossrt.targets.placement import PlacedObjects, cut_boxes, map_view, place_points

HIDDEN = 1  # annotated though not visible

Targets = tuple[NDArray[np.float32], NDArray[np.bool_]]


def hps(objects: PlacedObjects) -> Targets:
    """From the object's cell to each joint: D = 34, x and y by turns; unknown where a joint is not on the map."""
    points, on_map, _ = _place_joints(objects)
    offsets = (points.astype(np.float64) - objects.cells[:, None]).astype(np.float32)
    known = np.repeat(on_map[:, :, None], 2, axis=2)
    count = len(objects.slots)
    return np.where(known, offsets, np.float32(0)).reshape(count, 2 * JOINTS), known.reshape(count, 2 * JOINTS)


def hp_offset(objects: PlacedObjects) -> Targets:
    """The part of each joint that its cell loses: 17 slots an object, D = 2; masked where the joint is hidden."""
    points, on_map, visibilities = _place_joints(objects)
    lost = np.where(on_map[:, :, None], points - np.trunc(points), np.float32(0))
    counted = np.repeat((on_map & (visibilities != HIDDEN))[:, :, None], 2, axis=2)
    count = len(objects.slots)
    return lost.reshape(count, 2 * JOINTS), counted.reshape(count, 2 * JOINTS)


def joint_indices(objects: PlacedObjects) -> NDArray[np.int64]:
    """Return each joint's cell, row by row through the map: [n, 17]; 0 where a joint is not on the map."""
    points, on_map, _ = _place_joints(objects)
    x, y = np.moveaxis(np.where(on_map[:, :, None], points, np.float32(0)).astype(np.int64), 2, 0)
    cells: NDArray[np.int64] = y * objects.recipe.map_size[1] + x
    return cells


def joint_targets(objects: PlacedObjects) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Draw the joints.

    Every joint on the map has a peak as wide as its person's. A hidden one is masked, so that nobody has to find it; one
    that is not annotated sets the person's box to 1, so that nobody is blamed for finding it.

    Returns:
        The heatmap [17, H, W], and for the objects' slots `hm_hp_mask` [n, 17], 0 or 1, and `joint` [n, 17], the plane.
    """
    points, on_map, visibilities = _place_joints(objects)
    heatmap = np.zeros((JOINTS, *objects.recipe.map_size), dtype=np.float32)
    cells = cut_boxes(objects.boxes, objects.recipe.map_size).astype(np.int64)
    for person, joint in np.argwhere(visibilities == 0).tolist():
        left, top, right, bottom = cells[person].tolist()
        heatmap[joint, top : bottom + 1, left : right + 1] = 1
    for person, joint in np.argwhere(on_map).tolist():
        column, row = points[person, joint].astype(np.int64).tolist()
        draw_peak(heatmap[joint], column, row, int(objects.radii[person]))
    planes = np.where(on_map, np.arange(JOINTS), 0)
    return heatmap, {"hm_hp_mask": on_map & (visibilities != HIDDEN), "joint": planes}


def _place_joints(objects: PlacedObjects) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """Return [n, 17, 2] float32 px of the map, [n, 17] whether annotated and on the map, and [n, 17] visibilities."""
    poses = objects.frame.poses
    count = len(objects.slots)
    if poses is None:
        nothing = np.zeros((count, JOINTS), dtype=np.int64)
        return np.zeros((count, JOINTS, 2), dtype=np.float32), nothing > 0, nothing
    height, width = objects.recipe.map_size
    visibilities = poses.visibilities[objects.slots]
    annotated = np.where(visibilities[:, :, None] > 0, poses.points[objects.slots], 0.0)
    view = map_view(objects.frame, objects.recipe, objects.recipe.map_size)
    points = place_points(annotated, view).astype(np.float32)
    inside = (points >= 0).all(axis=2) & (points[:, :, 0] < width) & (points[:, :, 1] < height)
    return points, inside & (visibilities > 0), visibilities
