"""A recipe: which heads a network has, how their losses are weighted, and the sizes they come in.

Recipes are TOML files. The presets lie in `lossrt/recipes/`; a user copies one and changes it.
"""

__all__ = [
    "HEADS",
    "STEPS",
    "Finetune",
    "Head",
    "Recipe",
    "StepKind",
    "StepOptimizer",
    "StepScope",
    "load_recipe",
    "parse_recipe",
    "prediction_name",
    "preset_names",
    "preset_text",
    "with_steps",
]

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lossrt.errors import InputError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
StepScope = Literal["full", "last"]
StepOptimizer = Literal["sgd", "adamw"]
StepKind = Literal["full.sgd", "full.adamw", "last.sgd", "last.adamw"]
STEPS: tuple[StepKind, ...] = ("full.sgd", "full.adamw", "last.sgd", "last.adamw")
"""Training steps of the heads: what they train, and the optimizer."""
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
    "anno_box": Head("code_weighted_l1", (), unit=""),
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


class Finetune(BaseModel):
    """How the heads are trained on: table `[finetune]` of a recipe; immutable.

    Attributes:
        steps: Training steps that `lossrt export` writes.
        momentum: Momentum of SGD.
        weight_decay: Weight decay: coupled for SGD, decoupled for AdamW, as torch.optim has it.
        betas: AdamW's decay of the averages of the gradient and of its square.
        eps: AdamW's addend to the denominator.
        clip_norm: Global norm that gradients are clipped to; 0 for no clipping.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[StepKind, ...] = ("full.sgd",)
    momentum: float = Field(default=0.9, gt=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, lt=1)
    betas: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=0, lt=1)]] = (0.9, 0.999)
    eps: float = Field(default=1e-8, ge=1e-12, le=1e-2)
    clip_norm: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Recipe(BaseModel):
    """The recipe as read from its file; immutable.

    Attributes:
        name: Recipe name, a part of file names.
        input: Height and width of the network's input, px.
        down_ratio: Input pixels to one pixel of the output map.
        classes: Number of object classes (C).
        max_objs: Object slots an image (M).
        batch: Batch size that the recipe is trained with (B).
        num_stacks: Number of stacked outputs; every head's loss is divided by it.
        heads: Channels of every head, in the order in which the total is summed.
        weights: Weight of every head; 0 removes it.
        activation: `raw` (logits) or `applied` for the heads that have an activation.
        family: Whose total it is: `fairmot` weighs detection and identity by learned uncertainties.
        losses: Heads that are trained with another loss than their family's.
        identities: Number of identities that an `id` head is classified into.
        code_weights: Weight of each channel of an `anno_box` head.
        finetune: How the heads are trained on the device; None: no step is exported.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9_]{1,40}$")
    input: tuple[int, int]
    down_ratio: int = Field(default=4, ge=1, le=64)
    classes: int = Field(ge=1, le=100_000)
    max_objs: int = Field(ge=1, le=100_000)
    batch: int = Field(ge=1, le=4096)
    num_stacks: int = Field(default=1, ge=1, le=16)
    heads: dict[str, int]
    weights: dict[str, float]
    activation: dict[str, Activation] = Field(default_factory=dict)
    family: Family = "centertrack"
    losses: dict[str, LossKind] = Field(default_factory=dict)
    identities: int | None = Field(default=None, ge=2, le=10_000_000)
    code_weights: tuple[float, ...] | None = None
    finetune: Finetune | None = None

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of the output map, px."""
        return self.input[0] // self.down_ratio, self.input[1] // self.down_ratio

    @property
    def sizes(self) -> dict[str, int]:
        """Size of every named dimension: B, C, H, W, M, and N where there are identities."""
        height, width = self.map_size
        sizes = {"B": self.batch, "C": self.classes, "H": height, "W": width, "M": self.max_objs}
        return sizes | ({"N": self.identities} if self.identities else {})

    @property
    def active_heads(self) -> tuple[str, ...]:
        """Heads that take part in the loss, in order: those whose weight is not 0."""
        return tuple(head for head in self.heads if self.weights[head] != 0)

    def loss_kind(self, head: str) -> LossKind:
        """Return the loss that a head of this recipe is trained with."""
        return self.losses.get(head) or FAMILY_LOSSES[self.family].get(head) or HEADS[head].loss

    def is_applied(self, head: str) -> bool:
        """Return True where the network has activated the head already."""
        return self.activation.get(head, "raw") == "applied"

    @model_validator(mode="after")
    def _agree(self) -> "Recipe":
        for side in self.input:
            if side < self.down_ratio or side % self.down_ratio:
                raise ValueError(f"input: expected multiples of down_ratio={self.down_ratio}, got {list(self.input)}")
        for head, channels in self.heads.items():
            _check_head(head, channels, self.classes)
        if set(self.heads) != set(self.weights):
            missing, extra = sorted(set(self.heads) - set(self.weights)), sorted(set(self.weights) - set(self.heads))
            raise ValueError(f"weights: expected one for every head; missing {missing}, without a head {extra}")
        for head, weight in self.weights.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"weights.{head}: expected a finite weight >= 0, got {weight}")
        _check_activation(self)
        if "hm" not in self.active_heads:
            raise ValueError("heads.hm: expected with a weight > 0, since its index and mask serve every head")
        if "hp_offset" in self.active_heads and "hm_hp" not in self.active_heads:
            raise ValueError("heads.hp_offset: expected together with hm_hp, whose index it is read at")
        _check_family(self)
        return self


def _check_activation(recipe: "Recipe") -> None:
    known = [head for head in recipe.heads if HEADS[head].activated]
    for head in recipe.activation:
        if head not in known:
            raise ValueError(f"activation.{head}: this head has no activation; {nearest(head, known)}")


def _check_family(recipe: "Recipe") -> None:
    for head, kind in recipe.losses.items():
        if head not in recipe.heads:
            raise ValueError(f"losses.{head}: no such head in this recipe; {nearest(head, recipe.heads)}")
        if kind not in ALTERNATIVES or HEADS[head].loss not in ALTERNATIVES or HEADS[head].index != "ind":
            raise ValueError(
                f"losses.{head}: expected one of {sorted(ALTERNATIVES)} on a regression head, got '{kind}'"
            )
    if ("id" in recipe.heads) != (recipe.identities is not None):
        raise ValueError("identities: expected a number of identities exactly where there is a head 'id'")
    if (recipe.family == "fairmot") != ("id" in recipe.heads):
        raise ValueError("family: 'fairmot' and a head 'id' go together")
    channels = recipe.heads.get("anno_box", 0)
    if len(recipe.code_weights or ()) != channels:
        raise ValueError(f"code_weights: expected one for each of the {channels} channels of anno_box")


def _check_head(head: str, channels: int, classes: int) -> None:
    if head not in HEADS:
        raise ValueError(f"heads.{head}: unknown head; {nearest(head, HEADS)}")
    allowed = (classes,) if head == "hm" else HEADS[head].channels
    if (allowed and channels not in allowed) or channels < 1:
        expected = " or ".join(str(count) for count in allowed) or "at least 1"
        raise ValueError(f"heads.{head}: expected {expected} channels, got {channels}")


def prediction_name(head: str, stack: int = 0) -> str:
    """Return the wire name of a head's prediction: `pred_hm`, and `pred_hm_stack1` for the second stacked output."""
    return f"pred_{head}" if stack == 0 else f"pred_{head}_stack{stack}"


def preset_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("lossrt") / "recipes"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def preset_text(name: str) -> str:
    """Return the TOML text of the preset `name`.

    Raises:
        InputError: There is no preset of that name.
    """
    if name not in preset_names():
        raise InputError(f"recipe '{name}': no such preset or file; {nearest(name, preset_names())}")
    return (resources.files("lossrt") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def load_recipe(name_or_path: str, **changes: Any) -> Recipe:
    """Load a preset by name, or a TOML file by path.

    Args:
        name_or_path: A name from `preset_names()`, or the path of a file that ends in `.toml`.
        **changes: Keys to replace, for example `batch=1`.

    Raises:
        InputError: The recipe is unknown, is not TOML, or has a wrong key or value.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"recipe '{path}': expected a readable TOML file, got: {error}") from error
    else:
        text = preset_text(name_or_path)
    return parse_recipe(text, where=name_or_path, **changes)


def with_steps(recipe: Recipe, steps: Sequence[str]) -> Recipe:
    """Return a recipe that exports these training steps, its table `[finetune]` otherwise as it is.

    Args:
        recipe: The recipe, with a table or without.
        steps: Such as `full.sgd`; none: no step.

    Raises:
        InputError: A step is unknown.
    """
    for step in steps:
        if step not in STEPS:
            raise InputError(f"head step '{step}': unknown; {nearest(step, STEPS)}")
    table = (recipe.finetune or Finetune()).model_copy(update={"steps": tuple(dict.fromkeys(steps))})
    return recipe.model_copy(update={"finetune": table})


def parse_recipe(text: str, *, where: str, **changes: Any) -> Recipe:
    """Parse and check the TOML text of a recipe.

    Args:
        text: The TOML text.
        where: What messages call it: a file name or a preset.
        **changes: Keys to replace.

    Raises:
        InputError: The text is not TOML, or has a wrong key or value.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"recipe '{where}': not valid TOML: {error}") from error
    try:
        return Recipe.model_validate({**data, **changes})
    except ValidationError as error:
        raise InputError(f"recipe '{where}': {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """Say every mistake of a recipe at once, each with its key and, for an unknown key, the nearest valid one."""
    messages = []
    for mistake in error.errors():
        key = ".".join(str(part) for part in mistake["loc"])
        if mistake["type"] == "extra_forbidden":
            known = Finetune if mistake["loc"][0] == "finetune" else Recipe
            messages.append(f"unknown key '{key}'; {nearest(str(mistake['loc'][-1]), known.model_fields)}")
        elif mistake["type"] == "missing":
            messages.append(f"key '{key}': expected, but missing")
        elif not key:
            messages.append(str(mistake["msg"]).removeprefix("Value error, "))
        else:
            messages.append(f"key '{key}': {mistake['msg']}, got {mistake['input']!r}")
    return "; ".join(messages)
