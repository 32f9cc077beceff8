"""The targets in depth: distance, size, centre, velocity, attributes and rotation of a 3D box as one camera sees it.

Source: CenterTrack `src/lib/dataset/generic_dataset.py` (`_add_instance`, `_add_rot`, `nuscenes_att_range`).
"""

__all__ = ["amodel_offset", "attributes", "dep", "dim", "rotation_targets", "velocity"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.targets.details import ATTRIBUTES, Spatial
from lossrt.targets.placement import PlacedObjects, map_view, place_points

SLOWEST = -1000.0  # m/s; what converters and flips write is below
GROUPS = ((0, 2), (2, 5), (5, 8))  # attributes that exclude each other: of cycles, pedestrians, vehicles
NEAR, FAR = np.pi / 6, 5 * np.pi / 6  # rad; each bin of the rotation reaches 30 degrees past its half

Targets = tuple[NDArray[np.float32], NDArray[np.bool_]]


def dep(objects: PlacedObjects) -> Targets:
    """Distance along the optical axis, m: D = 1. Without augmentation upstream's scale factor is 1."""
    return _where_annotated(objects, "depths", 1)


def dim(objects: PlacedObjects) -> Targets:
    """Height, width and length of the 3D box, m: D = 3."""
    return _where_annotated(objects, "dims", 3)


def velocity(objects: PlacedObjects) -> Targets:
    """Velocity in the camera's frame, m/s: D = 3; unknown where the least of the three is -1000 or less."""
    values, known = _where_annotated(objects, "velocities", 3)
    known &= values.min(axis=1, keepdims=True) > SLOWEST
    return np.where(known, values, np.float32(0)), known


def amodel_offset(objects: PlacedObjects) -> Targets:
    """From the cell to the projected centre of the 3D box, which may lie beside the map: D = 2."""
    spatial = _spatial(objects)
    if spatial is None:
        return _nothing(objects, 2)
    view = map_view(objects.frame, objects.recipe, objects.recipe.map_size)
    return _where_finite(place_points(spatial.amodal_centres[objects.slots], view) - objects.cells)


def attributes(objects: PlacedObjects) -> Targets:
    """The attribute by nuScenes' list, one of 8 set to 1: D = 8; known are only the attributes that its kind of object may have."""
    values, known = _nothing(objects, ATTRIBUTES)
    spatial = _spatial(objects)
    if spatial is not None:
        at = spatial.attributes[objects.slots] - 1
        for row in np.flatnonzero(at >= 0).tolist():
            start, stop = next((start, stop) for start, stop in GROUPS if at[row] < stop)
            values[row, at[row]] = 1
            known[row, start:stop] = True
    return values, known


def rotation_targets(objects: PlacedObjects) -> dict[str, NDArray[Any]]:
    """Sort each observation angle into two bins around -90° and 90°, which overlap by 30° on either side.

    Returns:
        For the objects' slots `rotbin` [n, 2], 1 where the angle lies in the bin; `rotres` [n, 2] float64, rad from the
        bin's middle, 0 beside it; `rot_mask` [n], 1 where the angle is annotated. Without an angle both bins are 0.
    """
    spatial = _spatial(objects)
    count = len(objects.slots)
    alpha = np.full(count, np.nan) if spatial is None else spatial.alphas[objects.slots]
    bins = np.stack([(alpha < NEAR) | (alpha > FAR), (alpha > -NEAR) | (alpha < -FAR)], axis=1)
    residuals = alpha[:, None] - np.array([-np.pi / 2, np.pi / 2])
    return {"rot_mask": np.isfinite(alpha), "rotbin": bins, "rotres": np.where(bins, residuals, 0.0)}


def _spatial(objects: PlacedObjects) -> Spatial | None:
    return objects.frame.spatial


def _where_annotated(objects: PlacedObjects, name: str, channels: int) -> Targets:
    spatial = _spatial(objects)
    if spatial is None:
        return _nothing(objects, channels)
    values: NDArray[np.float64] = getattr(spatial, name)[objects.slots]
    return _where_finite(values.reshape(-1, channels))


def _where_finite(values: NDArray[np.float64]) -> Targets:
    """A row is known where all its numbers are."""
    known = np.broadcast_to(np.isfinite(values).all(axis=1, keepdims=True), values.shape).copy()
    return np.where(known, values, 0.0).astype(np.float32), known


def _nothing(objects: PlacedObjects, channels: int) -> Targets:
    shape = (len(objects.slots), channels)
    return np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.bool_)
