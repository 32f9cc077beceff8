"""The regression targets: what each head is to say at an object's cell.

Source: CenterTrack `src/lib/dataset/generic_dataset.py` (`_add_instance`).
"""

__all__ = ["REGRESSIONS", "Regression"]

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lossrt.targets.placement import PlacedObjects

# [n, D] float32 values in px of the output map, and [n] bool: False where the annotation lacks what the head learns.
Targets = tuple[NDArray[np.float32], NDArray[np.bool_]]
Regression = Callable[[PlacedObjects], Targets]


def _always(objects: PlacedObjects, values: NDArray[np.floating]) -> Targets:
    return values.astype(np.float32), np.ones(len(objects.slots), dtype=np.bool_)


def _reg(objects: PlacedObjects) -> Targets:
    """The part of the centre that the cell loses: D = 2, x and y in [0, 1)."""
    return _always(objects, objects.centres - objects.cells)


def _wh(objects: PlacedObjects) -> Targets:
    """Width and height of the box as far as the map shows it: D = 2."""
    return _always(objects, objects.boxes[:, 2:] - objects.boxes[:, :2])


def _tracking(objects: PlacedObjects) -> Targets:
    """From the cell to the centre in the previous frame: D = 2, x and y; unknown for an object that was not there."""
    offsets = objects.previous_centres.astype(np.float64) - objects.cells
    return offsets.astype(np.float32), objects.tracked


def _ltrb_amodal(objects: PlacedObjects) -> Targets:
    """From the cell to the sides of the whole box, past the map too: D = 4, left, top, right, bottom."""
    return _always(objects, objects.amodal - np.tile(objects.cells, 2))


REGRESSIONS: dict[str, Regression] = {
    "reg": _reg,
    "wh": _wh,
    "tracking": _tracking,
    "ltrb_amodal": _ltrb_amodal,
}
