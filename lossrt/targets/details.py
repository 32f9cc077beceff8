"""What may be annotated of an object beyond its box: its joints, how a camera sees it in depth, where on the ground it is.

A number that nobody annotated is NaN, never a guess; the encoder masks it out.
"""

__all__ = ["ATTRIBUTES", "LARGEST_NUMBER", "Details", "Ground", "Poses", "Spatial", "check_details", "take"]

from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.recipe import JOINTS

ATTRIBUTES = 8
"""nuScenes' attributes: two of cycles, three of pedestrians, three of vehicles."""
LARGEST_NUMBER = 1e15  # float32 still has room for what is computed from it

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """The joints of N people, in COCO's order.

    Attributes:
        points: [N, 17, 2] float64, x and y, image px; anything where the visibility is 0.
        visibilities: [N, 17] int64; 0 not annotated, 1 annotated though hidden, 2 visible.
    """

    points: NDArray[np.float64]
    visibilities: NDArray[np.int64]
    shapes: ClassVar[Shapes] = {"points": (JOINTS, 2), "visibilities": (JOINTS,)}


@dataclass(frozen=True, slots=True, eq=False)
class Spatial:
    """N objects in depth, as one camera sees them. NaN where unknown.

    Attributes:
        depths: [N] float64, distance along the optical axis, m.
        alphas: [N] float64, observation angle, rad.
        dims: [N, 3] float64, height, width, length, m.
        amodal_centres: [N, 2] float64, the projected centre of the 3D box, image px; may lie outside the image.
        attributes: [N] int64, nuScenes' attributes from 1 to 8; 0 where unknown.
        velocities: [N, 3] float64, m/s in the camera's frame; -1000 or less in any marks one as unknown, as NaN does.
    """

    depths: NDArray[np.float64]
    alphas: NDArray[np.float64]
    dims: NDArray[np.float64]
    amodal_centres: NDArray[np.float64]
    attributes: NDArray[np.int64]
    velocities: NDArray[np.float64]
    shapes: ClassVar[Shapes] = {
        "depths": (),
        "alphas": (),
        "dims": (3,),
        "amodal_centres": (2,),
        "attributes": (),
        "velocities": (3,),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """N objects on the ground, around a sensor that stands at the origin. NaN where unknown.

    Attributes:
        centres: [N, 3] float64, x, y and z of the box's centre, m; x to the right, y ahead, z up.
        sizes: [N, 3] float64, width, length, height, m.
        velocities: [N, 2] float64, along x and y, m/s.
        headings: [N] float64, rad; CenterPoint's, which is -90 degrees minus the angle from x to the object's front.
    """

    centres: NDArray[np.float64]
    sizes: NDArray[np.float64]
    velocities: NDArray[np.float64]
    headings: NDArray[np.float64]
    shapes: ClassVar[Shapes] = {"centres": (3,), "sizes": (3,), "velocities": (2,), "headings": ()}


Details = Poses | Spatial | Ground
AnyDetails = TypeVar("AnyDetails", Poses, Spatial, Ground)


def take(details: AnyDetails, rows: NDArray[Any]) -> AnyDetails:
    """Return the details of some of the objects.

    Args:
        details: Those of N objects.
        rows: [K] their indices, or [N] bool.
    """
    return type(details)(*(getattr(details, field.name)[rows] for field in fields(details)))


def check_details(details: Details, count: int, title: str) -> None:
    """Check that the details are those of `count` objects, and sound.

    Args:
        details: What to check.
        count: Number of objects.
        title: What messages call the frame.

    Raises:
        InputError: An array has another shape, an infinite number, a negative size, or a code that does not exist.
    """
    kind = type(details).__name__.lower()
    for name, tail in details.shapes.items():
        array = getattr(details, name)
        if array.shape != (count, *tail):
            raise InputError(
                f"{title}: {kind}.{name}: expected {[count, *tail]}, got {list(array.shape)}; fix what made the frame"
            )
        _check_values(array, f"{title}: {kind}.{name}", _legal(name, array), count)
    if isinstance(details, Poses):
        known = (details.visibilities == 0) | ~np.isnan(details.points).any(axis=2)
        _check_values(details.points, f"{title}: poses.points", (known, "numbers where the visibility is not 0"), count)


def _legal(name: str, array: NDArray[Any]) -> tuple[NDArray[np.bool_], str]:
    if name == "visibilities":
        return (array >= 0) & (array <= 2), "0, 1 or 2"
    if name == "attributes":
        return (array >= 0) & (array <= ATTRIBUTES), f"0 to {ATTRIBUTES}"
    finite = np.isnan(array) | (np.abs(array) <= LARGEST_NUMBER)
    if name in ("dims", "sizes"):
        return finite & ~(array < 0), "finite m >= 0, or NaN where unknown"
    return finite, "finite numbers, or NaN where unknown"


def _check_values(array: NDArray[Any], title: str, legal: tuple[NDArray[np.bool_], str], count: int) -> None:
    sound, expected = legal
    if not sound.all():
        row = int(np.argmin(sound.reshape(count, -1).all(axis=1)))
        raise InputError(
            f"{title}: object {row}: expected {expected}, got {array[row].tolist()}; fix or remove the annotation"
        )
