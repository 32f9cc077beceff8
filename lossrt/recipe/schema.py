"""What a recipe holds, and what of it has to agree."""

__all__ = ["Recipe", "with_steps"]

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lossrt.errors import InputError, nearest
from lossrt.recipe.finetune import STEPS, Finetune
from lossrt.recipe.heads import ALTERNATIVES, FAMILY_LOSSES, HEADS, Activation, Family, LossKind

Side = Annotated[int, Field(strict=True, ge=1, le=32_768)]  # px
Channels = Annotated[int, Field(strict=True, le=100_000)]
Number = Annotated[float, Field(strict=True)]
SMALLEST, LARGEST = 2.0**-126, (2 - 2.0**-23) * 2.0**127
"""The normal numbers of float32, in which weights are multiplied."""


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
        identities: Number of identities that an `id` head is classified into; from 3 on, since FairMOT scales embeddings
            by ln(N − 1).
        code_weights: Weight of each channel of an `anno_box` head.
        finetune: How the heads are trained on the device; None: no step is exported.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9_]{1,40}$")
    input: tuple[Side, Side]
    down_ratio: int = Field(default=4, ge=1, le=64, strict=True)
    classes: int = Field(ge=1, le=100_000, strict=True)
    max_objs: int = Field(ge=1, le=100_000, strict=True)
    batch: int = Field(ge=1, le=4096, strict=True)
    num_stacks: int = Field(default=1, ge=1, le=16, strict=True)
    heads: dict[str, Channels]
    weights: dict[str, Number]
    activation: dict[str, Activation] = Field(default_factory=dict)
    family: Family = "centertrack"
    losses: dict[str, LossKind] = Field(default_factory=dict)
    identities: int | None = Field(default=None, ge=3, le=10_000_000, strict=True)
    code_weights: tuple[Number, ...] | None = None
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
            raise ValueError(_unlike(self.heads, self.weights))
        for head, weight in self.weights.items():
            _check_weight(f"weights.{head}", weight)
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
    _check_code_weights(recipe)
    _check_steps(recipe, recipe.finetune.steps if recipe.finetune else ())


def _check_head(head: str, channels: int, classes: int) -> None:
    if head not in HEADS:
        raise ValueError(f"heads.{head}: unknown head; {nearest(head, HEADS)}")
    allowed = (classes,) if head == "hm" else HEADS[head].channels
    if (allowed and channels not in allowed) or channels < 1:
        expected = " or ".join(str(count) for count in allowed) or "at least 1"
        raise ValueError(f"heads.{head}: expected {expected} channels, got {channels}")


def _check_code_weights(recipe: "Recipe") -> None:
    channels, count = recipe.heads.get("anno_box"), len(recipe.code_weights or ())
    if channels is None and count:
        raise ValueError("code_weights: expected only beside a head 'anno_box', whose channels they weigh; remove them")
    if channels is not None and count != channels:
        raise ValueError(f"code_weights: expected one for each of the {channels} channels of anno_box, got {count}")
    for position, weight in enumerate(recipe.code_weights or ()):
        _check_weight(f"code_weights[{position}]", weight)


def _check_weight(key: str, weight: float) -> None:
    if weight != 0 and not SMALLEST <= weight <= LARGEST:
        raise ValueError(f"{key}: expected a finite weight >= 0 that float32 holds, got {weight}")


def _check_steps(recipe: "Recipe", steps: Iterable[str]) -> None:
    asked = next(iter(steps), None)
    if asked and "id" in recipe.heads:
        raise ValueError(
            f"finetune.steps: '{asked}': expected no head 'id', whose classifier no step trains; set steps = []"
        )
    if asked and recipe.num_stacks > 1:
        raise ValueError(
            f"finetune.steps: '{asked}': expected num_stacks = 1, got {recipe.num_stacks}: a step trains the heads of one "
            "output; set steps = []"
        )


def _unlike(heads: Iterable[str], weights: Iterable[str]) -> str:
    """Say which heads have no weight, and which weights no head, each with what it may be a slip of."""
    missing, extra = sorted(set(heads) - set(weights)), sorted(set(weights) - set(heads))
    parts = [f"weights.{name}: no such head; {nearest(name, missing or heads)}" for name in extra]
    parts += [f"weights.{name}: expected one for head '{name}', but missing" for name in missing]
    return "; ".join(parts)


def with_steps(recipe: Recipe, steps: Sequence[str]) -> Recipe:
    """Return a recipe that exports these training steps, its table `[finetune]` otherwise as it is.

    Args:
        recipe: The recipe, with a table or without.
        steps: Such as `full.sgd`; none: no step.

    Raises:
        InputError: A step is unknown, or the recipe has several stacks.
    """
    for step in steps:
        if step not in STEPS:
            raise InputError(f"head step '{step}': unknown; {nearest(step, STEPS)}")
    try:
        _check_steps(recipe, steps)
    except ValueError as error:
        raise InputError(f"recipe '{recipe.name}': {error}") from error
    table = (recipe.finetune or Finetune()).model_copy(update={"steps": tuple(dict.fromkeys(steps))})
    return recipe.model_copy(update={"finetune": table})
