"""What the regression losses have in common: predictions read at the objects, beside targets and masks."""

__all__ = ["EPSILON", "Slots", "slots_of"]

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.validators.oracle.depth import depth_of
from lossrt.validators.oracle.gather import gathered

EPSILON = 1e-4
"""What upstream adds to a number of elements or objects, and to the target that it divides by."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Everything about the M slots of each image; all [B, M, D] in float64.

    Attributes:
        pred: Prediction at the slot's pixel, in the head's unit.
        own: What the prediction's own rounding is measured by; 0 where it is read as it lies.
        target: Target, in the head's unit.
        mask: 1 where the element counts, else 0; a product with it is exact.
    """

    pred: NDArray[np.float64]
    own: NDArray[np.float64]
    target: NDArray[np.float64]
    mask: NDArray[np.float64]

    @property
    def distance(self) -> NDArray[np.float64]:
        """|pred·m − target·m|: masks multiply, as upstream, so NaN and ∞·0 come through."""
        return np.abs(self.pred * self.mask - self.target * self.mask)

    @property
    def rounding(self) -> NDArray[np.float64]:
        """What the rounding of `distance` is measured by."""
        return self.distance + self.own * np.abs(self.mask)


def slots_of(
    pred: NDArray[Any], target: NDArray[Any], mask: NDArray[Any], ind: NDArray[np.int64], *, raw_depth: bool
) -> Slots:
    """Read the predictions at the objects.

    Args:
        pred: Predicted map, [B, D, H, W].
        target: Target of each slot, [B, M, D].
        mask: [B, M, D], or [B, M] for all channels alike.
        ind: Pixel index of each slot, [B, M].
        raw_depth: The prediction is the logit of a depth.
    """
    values = gathered(pred, ind)
    own = np.zeros_like(values)
    if raw_depth:
        values, own = depth_of(values)
    weights = mask.astype(np.float64)
    if weights.ndim == 2:
        weights = np.broadcast_to(weights[:, :, None], values.shape)
    return Slots(pred=values, own=own, target=target.astype(np.float64), mask=weights)
