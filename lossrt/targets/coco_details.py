"""What a COCO-style annotation may say beyond its box, as arrays over the annotations of one image.

A region to ignore says nothing: converters fill it with marks such as -1000, and nothing is learnt from it.
"""

__all__ = ["read_ground", "read_poses", "read_spatial"]

import math
from collections.abc import Sequence

import numpy as np

from lossrt.recipe import JOINTS
from lossrt.targets.birds_eye import ground_from_camera
from lossrt.targets.coco_entries import Entry
from lossrt.targets.details import ATTRIBUTES, Ground, Poses, Spatial

Objects = Sequence[Entry | None]
"""One entry an annotation, None for a region."""
SPATIAL_KEYS = ("depth", "alpha", "dim", "amodel_center", "attributes", "velocity")
DIMS = ("height", "width", "length")


def read_poses(objects: Objects) -> Poses | None:
    """Read keypoints: x, y and visibility of 17 joints; someone without any has none annotated."""
    if not _any_has(objects, "keypoints"):
        return None
    rows = [_joints(entry) for entry in objects]
    table = np.array(rows, dtype=np.float64).reshape(-1, JOINTS, 3)
    return Poses(points=table[:, :, :2], visibilities=table[:, :, 2].astype(np.int64))


def read_spatial(objects: Objects) -> Spatial | None:
    """Read depth, observation angle, 3D size, amodal centre, attribute and velocity."""
    if not _any_has(objects, *SPATIAL_KEYS):
        return None
    return Spatial(
        depths=np.array([_depth(entry) for entry in objects], dtype=np.float64),
        alphas=np.array([_angle(entry, "alpha") for entry in objects], dtype=np.float64),
        dims=_rows([_dims(entry) for entry in objects], 3),
        amodal_centres=_rows([_numbers(entry, "amodel_center", "x", "y") for entry in objects], 2),
        attributes=np.array([_attribute(entry) for entry in objects], dtype=np.int64),
        velocities=_rows([_velocity(entry) for entry in objects], 3),
    )


def read_ground(objects: Objects) -> Ground | None:
    """Read boxes in the camera's frame, `location`, `dim`, `rotation_y` and `velocity`, and lay them on the ground."""
    if not _any_has(objects, "location", "rotation_y"):
        return None
    return ground_from_camera(
        _rows([_numbers(entry, "location", "x", "y", "z") for entry in objects], 3),
        _rows([_dims(entry) for entry in objects], 3),
        np.array([_angle(entry, "rotation_y") for entry in objects], dtype=np.float64),
        _rows([_velocity(entry) for entry in objects], 3),
    )


def _any_has(objects: Objects, *keys: str) -> bool:
    return any(entry is not None and any(entry.has(key) for key in keys) for entry in objects)


def _rows(rows: list[list[float]], columns: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def _number(entry: Entry | None, key: str) -> float:
    return entry.number(key) if entry is not None and entry.has(key) else math.nan


def _depth(entry: Entry | None) -> float:
    depth = _number(entry, "depth")
    if entry is not None and depth < 0:
        raise entry.refuse("depth", "a depth >= 0 m")
    return depth


def _angle(entry: Entry | None, key: str) -> float:
    """Return an angle: converters add up two of [-π, π] at most."""
    angle = _number(entry, key)
    if entry is not None and abs(angle) > 2 * math.pi + 1e-6:
        raise entry.refuse(key, "radians in [-2π, 2π]")
    return angle


def _numbers(entry: Entry | None, key: str, *meanings: str) -> list[float]:
    return entry.numbers(key, *meanings) if entry is not None and entry.has(key) else [math.nan] * len(meanings)


def _dims(entry: Entry | None) -> list[float]:
    sides = _numbers(entry, "dim", *DIMS)
    if entry is not None and min(sides) < 0:
        raise entry.refuse("dim", f"[{', '.join(DIMS)}] >= 0 m")
    return sides


def _velocity(entry: Entry | None) -> list[float]:
    """Return the three numbers of it; nuScenes' converter writes a fourth, a leftover of its matrix product."""
    if entry is None or not entry.has("velocity"):
        return [math.nan] * 3
    given = entry.values["velocity"]
    rest = ("rest",) if isinstance(given, list) and len(given) == 4 else ()
    x, y, z, *_ = entry.numbers("velocity", "x", "y", "z", *rest, gaps=True)
    return [x, y, z]


def _attribute(entry: Entry | None) -> int:
    """Return nuScenes' attribute, 0 for none; annotation tools keep an object of their own under this key."""
    if entry is None or not entry.has("attributes") or isinstance(entry.values["attributes"], dict):
        return 0
    return entry.whole("attributes", least=0, most=ATTRIBUTES)


def _joints(entry: Entry | None) -> list[float]:
    if entry is None or not entry.has("keypoints"):
        return [0.0] * (3 * JOINTS)
    given = entry.values["keypoints"]
    if not isinstance(given, list) or len(given) != 3 * JOINTS:
        got = f"{len(given)} numbers" if isinstance(given, list) else type(given).__name__
        raise entry.refuse("keypoints", f"x, y and visibility of {JOINTS} joints, {3 * JOINTS} numbers", got)
    numbers = entry.numbers("keypoints", *("joint",) * len(given))
    if any(visibility not in (0, 1, 2) for visibility in numbers[2::3]):
        raise entry.refuse("keypoints", "visibilities 0, 1 or 2", f"visibilities {numbers[2::3]}")
    return numbers
