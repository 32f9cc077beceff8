"""CenterPoint's targets: boxes on the ground, put onto a map of it that is seen from above.

Source: CenterPoint `det3d/datasets/pipelines/preprocess.py` (`AssignLabel`); sizes from its pillar configuration of
nuScenes, `configs/nusc/pp/nusc_centerpoint_pp_02voxel_two_pfn_10sweep.py`. The sensor stands in the middle of the map.
"""

__all__ = ["CHANNELS", "PILLAR", "anno_box", "ground_from_camera", "place_on_ground", "raster_boxes"]

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame
from lossrt.targets.details import Ground
from lossrt.targets.gaussian import shift_root
from lossrt.targets.placement import PlacedObjects

PILLAR = 0.2  # m; side of one pixel of the network's input
OVERLAP = 0.1
LEAST_RADIUS = 2  # px of the map
CHANNELS = {
    10: "centre (2), height, log sizes (3), velocity (2), sine and cosine of the heading",
    8: "the same without the velocity",
}

Targets = tuple[NDArray[np.float32], NDArray[np.bool_]]


def ground_from_camera(
    locations: NDArray[np.float64],
    dims: NDArray[np.float64],
    rotations: NDArray[np.float64],
    velocities: NDArray[np.float64],
) -> Ground:
    """Turn boxes from a camera's frame (x to the right, y down, z ahead) to the ground below it.

    Args:
        locations: [N, 3] middle of the box's bottom, m.
        dims: [N, 3] height, width, length, m.
        rotations: [N] angle around y, rad; 0 where the object's front points along x.
        velocities: [N, 3] m/s.
    """
    right, down, ahead = locations.T
    return Ground(
        centres=np.stack([right, ahead, dims[:, 0] / 2 - down], axis=1),
        sizes=dims[:, [1, 2, 0]],
        velocities=velocities[:, [0, 2]],
        headings=rotations - np.pi / 2,
    )


def raster_boxes(ground: Ground) -> NDArray[np.float64]:
    """Return the upright rectangles around boxes on the ground, m: [N, 4], least x and y, largest x and y."""
    turn = -np.pi / 2 - ground.headings
    cosine, sine = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    width, length, _ = ground.sizes.T
    reach = np.stack([length * cosine + width * sine, length * sine + width * cosine], axis=1) / 2
    middle = ground.centres[:, :2]
    return np.concatenate([middle - reach, middle + reach], axis=1)


def place_on_ground(frame: Frame, recipe: Recipe) -> PlacedObjects:
    """Place the objects whose centre lies on the map. Tracks are not followed: CenterPoint tracks by velocity.

    Args:
        frame: The frame; annotations past `recipe.max_objs` are left out, and so are classes beside 1..C, crowds, and
            objects without a place or a size on the ground.
        recipe: Map size, classes and slots.
    """
    height, width = recipe.map_size
    count = min(len(frame.class_ids), recipe.max_objs)
    class_ids = frame.class_ids[:count]
    centres, sizes = _on_map(frame.ground, count, recipe)
    near = ((centres > -1) & (centres < (width, height))).all(axis=1)  # the cell is found by cutting the fraction off
    sound = near & (sizes > 0).all(axis=1) & ~frame.is_crowd[:count]
    slots = np.flatnonzero(sound & (class_ids >= 1) & (class_ids <= recipe.classes))
    centres, sizes = centres[slots], sizes[slots]
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1).astype(np.float32)
    return PlacedObjects(
        frame=frame,
        recipe=recipe,
        slots=slots,
        classes=class_ids[slots] - 1,
        amodal=boxes,
        boxes=boxes,
        centres=centres.astype(np.float32),
        cells=centres.astype(np.int64),
        radii=np.maximum(LEAST_RADIUS, shift_root(sizes[:, 1], sizes[:, 0], overlap=OVERLAP).astype(np.int64)),
        previous_centres=np.zeros((len(slots), 2), dtype=np.float32),
        tracked=np.zeros(len(slots), dtype=np.bool_),
    )


def anno_box(objects: PlacedObjects) -> Targets:
    """The box's numbers: D = 10 or 8, see `CHANNELS`; px of the map, m, ln m, m/s.

    One mask serves all numbers of an object, so that an object that lacks one of them is unknown as a whole.
    """
    channels = objects.recipe.heads["anno_box"]
    count, ground = len(objects.slots), objects.frame.ground
    if ground is None:
        return np.zeros((count, channels), dtype=np.float32), np.zeros((count, channels), dtype=np.bool_)
    sizes = ground.sizes[objects.slots]
    headings = ground.headings[objects.slots, None]
    parts = [
        objects.centres.astype(np.float64) - objects.cells,
        ground.centres[objects.slots, 2:],
        np.log(np.where(sizes > 0, sizes, np.nan)),
        ground.velocities[objects.slots],
        np.sin(headings),
        np.cos(headings),
    ]
    values = np.concatenate(parts if channels == max(CHANNELS) else parts[:3] + parts[4:], axis=1)
    known = np.isfinite(values).all(axis=1, keepdims=True)
    return np.where(known, values, 0.0).astype(np.float32), np.broadcast_to(known, values.shape).copy()


def _on_map(ground: Ground | None, count: int, recipe: Recipe) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first objects' [count, 2] centres, rounded to float32 as upstream, and sizes, px of the map."""
    if ground is None:
        return np.full((count, 2), np.nan), np.zeros((count, 2))
    pixel = PILLAR * recipe.down_ratio
    height, width = recipe.map_size
    corner = np.array([-width, -height]) * pixel / 2
    centres = ((ground.centres[:count, :2] - corner) / pixel).astype(np.float32).astype(np.float64)
    return centres, ground.sizes[:count, :2] / pixel
