"""What a recipe holds, and what of it has to agree."""

__all__ = ["Recipe", "with_steps"]

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lossrt.errors import InputError, nearest
from lossrt.recipe.finetune import STEPS, Finetune
from lossrt.recipe.heads import ALTERNATIVES, FAMILY_LOSSES, HEADS, Activation, Family, LossKind


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
