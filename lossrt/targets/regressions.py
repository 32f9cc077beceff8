"""The regression targets: what each head is to say at an object's cell.

Sources: CenterTrack `src/lib/dataset/generic_dataset.py` (`_add_instance`); FairMOT
`src/lib/datasets/dataset/jde.py` (`JointDataset`) for the sides that `wh` tells there.
"""

__all__ = ["REGRESSIONS", "Regression"]

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lossrt.targets.placement import PlacedObjects
from lossrt.targets.poses import hp_offset, hps
from lossrt.targets.spatial import amodel_offset, dep, dim, velocity

# [n, D] float32 values, 0 where there is none, and [n, D] bool: False where the annotation lacks what the head learns.
Targets = tuple[NDArray[np.float32], NDArray[np.bool_]]
Regression = Callable[[PlacedObjects], Targets]


def _always(values: NDArray[np.floating]) -> Targets:
    return values.astype(np.float32), np.ones(values.shape, dtype=np.bool_)


def _reg(objects: PlacedObjects) -> Targets:
    """The part of the centre that the cell loses: D = 2, x and y in [0, 1)."""
    return _always(objects.centres - objects.cells)


def _wh(objects: PlacedObjects) -> Targets:
    """The box's size: D = 2, width and height; with D = 4 how far its sides are from its centre, as FairMOT's."""
    corner, far_corner = objects.boxes[:, :2], objects.boxes[:, 2:]
    if objects.recipe.heads["wh"] == 2:
        return _always(far_corner - corner)
    return _always(np.concatenate([objects.centres - corner, far_corner - objects.centres], axis=1))


def _tracking(objects: PlacedObjects) -> Targets:
    """From the cell to the centre in the previous frame: D = 2, x and y; unknown for an object that was not there."""
    offsets = (objects.previous_centres.astype(np.float64) - objects.cells).astype(np.float32)
    known = np.repeat(objects.tracked[:, None], 2, axis=1)
    return np.where(known, offsets, np.float32(0)), known


def _ltrb(objects: PlacedObjects) -> Targets:
    """From the cell to the sides of the box as far as the map shows it: D = 4, left, top, right, bottom."""
    return _always(objects.boxes - np.tile(objects.cells, 2))


def _ltrb_amodal(objects: PlacedObjects) -> Targets:
    """From the cell to the sides of the whole box, past the map too: D = 4, left, top, right, bottom."""
    return _always(objects.amodal - np.tile(objects.cells, 2))


REGRESSIONS: dict[str, Regression] = {
    "reg": _reg,
    "wh": _wh,
    "tracking": _tracking,
    "ltrb": _ltrb,
    "ltrb_amodal": _ltrb_amodal,
    "hps": hps,
    "hp_offset": hp_offset,
    "dep": dep,
    "dim": dim,
    "amodel_offset": amodel_offset,
    "velocity": velocity,
}
