"""The signature of a head's training step: which tensors go in and out, for a recipe, a scope and an optimizer."""

__all__ = [
    "OPTIMIZERS",
    "SCOPES",
    "STATE",
    "is_dense",
    "open_dims",
    "parameter_dims",
    "spec",
    "step_heads",
    "step_name",
    "step_recipe",
]

from lossrt.errors import InputError
from lossrt.models import generic
from lossrt.recipe import HEADS, Recipe, StepOptimizer, StepScope
from lossrt.spec import Dim, GraphSpec, OutputSpec, TensorSpec

SCOPES: tuple[StepScope, ...] = ("full", "last")
OPTIMIZERS: tuple[StepOptimizer, ...] = ("sgd", "adamw")
STATE: dict[StepOptimizer, tuple[str, ...]] = {"sgd": ("momentum",), "adamw": ("exp_avg", "exp_avg_sq")}
"""What an optimizer remembers of every parameter, under torch.optim's names (`momentum` for its momentum_buffer)."""
FEATURES, HIDDEN = 64, 256
"""Sizes of CenterTrack's DLA-34, which a graph is tuned for; it takes any."""
TAPS = 3


def step_name(scope: StepScope, optimizer: StepOptimizer) -> str:
    """Return the graph's name."""
    return f"head_step_{scope}_{optimizer}"


def step_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe that a step trains: the heads' own outputs, before any activation.

    Raises:
        InputError: The recipe has stacked outputs, or an identity classifier.
    """
    if recipe.num_stacks > 1:
        raise InputError(
            f"recipe '{recipe.name}': a head step trains the heads of one output, got num_stacks={recipe.num_stacks}; "
            "set num_stacks = 1, or leave out [finetune]"
        )
    if "id" in recipe.heads:
        raise InputError(
            f"recipe '{recipe.name}': a head step has no identity classifier, got head 'id'; leave out [finetune]"
        )
    return recipe.model_copy(update={"activation": {}})


def step_heads(recipe: Recipe) -> tuple[str, ...]:
    """Return the heads that a step trains: those with a weight."""
    return recipe.active_heads


def is_dense(recipe: Recipe, head: str) -> bool:
    """Say whether the loss reads a head over the whole map; the others matter at the objects' pixels only."""
    return recipe.loss_kind(head) in ("fast_focal", "focal")


def parameter_dims(recipe: Recipe, scope: StepScope) -> dict[str, tuple[Dim, ...]]:
    """Return the dimensions of every parameter of a step, by name: CenterTrack's checkpoint keys, `_` for dots."""
    dims: dict[str, tuple[Dim, ...]] = {}
    for head in step_heads(recipe):
        hidden = f"K_{head}"
        if scope == "full":
            dims |= {f"{head}_0_weight": (hidden, "F", TAPS, TAPS), f"{head}_0_bias": (hidden,)}
        channels = recipe.heads[head]
        dims |= {f"{head}_2_weight": (channels, hidden, 1, 1), f"{head}_2_bias": (channels,)}
    return dims


def spec(recipe: Recipe, scope: StepScope, optimizer: StepOptimizer) -> GraphSpec:
    """Return the signature of graph `head_step_<scope>_<optimizer>`.

    Raises:
        InputError: A step cannot train this recipe.
    """
    trained = step_recipe(recipe)
    losses = generic.spec(trained)
    parameters = parameter_dims(trained, scope)
    inputs = [
        *_features(trained, scope),
        *(TensorSpec(f"param_{name}", "float32", dims, "parameter") for name, dims in parameters.items()),
        *_state(parameters, optimizer),
        TensorSpec("lr", "float32", (), "parameter", 0),
        *(tensor for tensor in losses.inputs if tensor.role == "target" and tensor.name not in _unread(trained, scope)),
    ]
    outputs = [*losses.outputs, OutputSpec("grad_norm")]
    for prefix in ("param", *STATE[optimizer]):
        outputs += [OutputSpec(f"new_{prefix}_{name}", dims) for name, dims in parameters.items()]
    if optimizer == "adamw":
        outputs.append(OutputSpec("new_step"))
    widths = {"F": FEATURES} if scope == "full" else {}
    widths |= {f"K_{head}": HIDDEN for head in step_heads(trained)}
    return GraphSpec(step_name(scope, optimizer), tuple(inputs), tuple(outputs), recipe.sizes | widths)


def open_dims(spec: GraphSpec) -> frozenset[str]:
    """Return the dimensions of a step that take any size: all but the slots and the joints."""
    return frozenset(dim for dim in spec.sizes if dim in ("B", "H", "W", "F") or dim.startswith("K_"))


def _unread(recipe: Recipe, scope: StepScope) -> set[str]:
    """Return the indices that a step does not read: where all else comes gathered, only FastFocal reads one."""
    if scope == "full":
        return set()
    read = {HEADS[head].index for head in step_heads(recipe) if recipe.loss_kind(head) == "fast_focal"}
    return {"ind", "hp_ind"} - read


def _features(recipe: Recipe, scope: StepScope) -> list[TensorSpec]:
    if scope == "full":
        return [TensorSpec("features", "float32", ("B", "F", "H", "W"), "prediction")]
    return [_hidden(recipe, head) for head in step_heads(recipe)]


def _hidden(recipe: Recipe, head: str) -> TensorSpec:
    at = ("H", "W") if is_dense(recipe, head) else (HEADS[head].slots,)
    return TensorSpec(f"hidden_{head}", "float32", ("B", f"K_{head}", *at), "prediction", 0)


def _state(parameters: dict[str, tuple[Dim, ...]], optimizer: StepOptimizer) -> list[TensorSpec]:
    specs = [
        TensorSpec(f"{kind}_{name}", "float32", dims, "parameter", 0 if kind == "exp_avg_sq" else None)
        for kind in STATE[optimizer]
        for name, dims in parameters.items()
    ]
    return [*specs, TensorSpec("step", "float32", (), "parameter", 0)] if optimizer == "adamw" else specs
