"""The heads that a network may have, and the losses that they are trained with."""

__all__ = [
    "ALTERNATIVES",
    "FAMILY_LOSSES",
    "HEADS",
    "JOINTS",
    "Activation",
    "Family",
    "Head",
    "LossKind",
    "prediction_name",
]

from dataclasses import dataclass
from typing import Literal

LossKind = Literal[
    "fast_focal",
    "reg_weighted_l1",
    "bin_rot",
    "weighted_bce",
    "focal",
    "reg_l1",
    "norm_reg_l1",
    "l1",
    "smooth_l1",
    "identity",
    "code_weighted_l1",
]
Family = Literal["centertrack", "centernet", "fairmot", "centerpoint"]
Activation = Literal["raw", "applied"]
JOINTS = 17
"""Joints of a person, COCO's."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is fixed about a head by its name.

    Attributes:
        loss: The loss it is trained with (CenterTrack `src/lib/trainer.py`, GenericLoss, and the relatives' own).
        channels: The numbers of channels it may have; empty where the recipe decides.
        activated: True where a recipe may say that the network has activated it already.
        index: Name of the index that it is read at, `ind` or `hp_ind`.
        slots: Slots an image, `M` or `17*M`.
        unit: Unit of its values.
    """

    loss: LossKind
    channels: tuple[int, ...]
    activated: bool = False
    index: Literal["ind", "hp_ind"] = "ind"
    slots: str = "M"
    unit: str = "px"


HEADS: dict[str, Head] = {
    "hm": Head("fast_focal", (), activated=True, unit="logit"),
    "reg": Head("reg_weighted_l1", (2,)),
    "wh": Head("reg_weighted_l1", (2, 4)),
    "tracking": Head("reg_weighted_l1", (2,)),
    "ltrb": Head("reg_weighted_l1", (4,)),
    "ltrb_amodal": Head("reg_weighted_l1", (4,)),
    "hps": Head("reg_weighted_l1", (2 * JOINTS,)),
    "hm_hp": Head("fast_focal", (JOINTS,), activated=True, index="hp_ind", slots="17*M", unit="logit"),
    "hp_offset": Head("reg_weighted_l1", (2,), index="hp_ind", slots="17*M"),
    "dep": Head("reg_weighted_l1", (1,), activated=True, unit="m"),
    "rot": Head("bin_rot", (8,), unit=""),
    "dim": Head("reg_weighted_l1", (3,), unit="m"),
    "amodel_offset": Head("reg_weighted_l1", (2,)),
    "nuscenes_att": Head("weighted_bce", (8,), unit="logit"),
    "velocity": Head("reg_weighted_l1", (3,), unit="m/s"),
    "id": Head("identity", (), unit=""),
    "anno_box": Head("code_weighted_l1", (8, 10), unit=""),
}
FAMILY_LOSSES: dict[Family, dict[str, LossKind]] = {
    "centertrack": {},
    "centernet": {"hm": "focal", "wh": "reg_l1", "reg": "reg_l1"},
    "fairmot": {"hm": "focal", "wh": "reg_l1", "reg": "reg_l1"},
    "centerpoint": {},
}
"""Where a relative trains a head with another loss than CenterTrack."""
ALTERNATIVES: frozenset[LossKind] = frozenset({"reg_weighted_l1", "reg_l1", "norm_reg_l1", "l1", "smooth_l1"})
"""Losses on the same gathered values: `[losses]` may put one in another's place."""


def prediction_name(head: str, stack: int = 0) -> str:
    """Return the wire name of a head's prediction: `pred_hm`, and `pred_hm_stack1` for the second stacked output."""
    return f"pred_{head}" if stack == 0 else f"pred_{head}_stack{stack}"
