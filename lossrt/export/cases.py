"""Golden cases: inputs that reach every corner of a loss, each a named array set for the recipe's whole batch.

A case is made once, for all heads; each graph takes from it the inputs that its spec names.
"""

__all__ = ["CASES", "Arrays", "CaseSource", "GoldenCase", "case_arrays", "scene_source"]

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from lossrt.export import adversarial, family_cases
from lossrt.export.case_source import (
    Arrays,
    CaseSource,
    encoded,
    focal_predictions,
    scene,
    scene_source,
)
from lossrt.recipe import Recipe
from lossrt.targets.filling import fill_slots, place_objects_at, share_cells

SATURATED = 30.0  # logit; float32's sigmoid is 1 from 17 on
IGNORED = 3  # regions of the `ignore` case
LARGEST_REGION = 0.2  # of the map's height and width

Maker = Callable[[Recipe, int, CaseSource, np.random.Generator], Arrays]


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """How one case is made and where it is kept.

    Attributes:
        make: Recipe, batch, source and random generator → predictions and targets by wire name.
        batch: Number of images where the batch is open. Two show a batch mix-up.
        graphs: Graphs that it is kept for, where it shows what no other case does; None for all. A mot17 bundle would
            pass its 64 MB if every graph kept every case.
        whole: Graphs that keep it with the recipe's batch.
        head: Head without which it shows nothing; None where it needs none.
    """

    make: Maker
    batch: int = 2
    graphs: tuple[str, ...] | None = None
    whole: tuple[str, ...] = ()
    head: str | None = None

    def concerns(self, graph: str, recipe: Recipe) -> bool:
        """Say whether the case is kept for a graph of a recipe."""
        return (self.graphs is None or graph in self.graphs) and self.head in (None, *recipe.active_heads)

    def images(self, graph: str, recipe: Recipe) -> int:
        """Return the number of images that a graph keeps, where the batch is open."""
        return recipe.batch if graph in self.whole else self.batch


def case_arrays(name: str, recipe: Recipe, *, batch: int, source: CaseSource) -> Arrays:
    """Make the arrays of one case.

    Args:
        name: A name from `CASES`.
        recipe: Sizes and heads.
        batch: Number of images.
        source: Annotations and seed.

    Returns:
        Predictions and targets by wire name, for every head of the recipe.
    """
    rng = np.random.default_rng([source.seed, list(CASES).index(name)])
    return CASES[name].make(recipe, batch, source, rng)


def _nominal(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    del rng
    pairs = list(islice(cycle(source.pairs), batch))
    arrays = encoded(recipe, pairs, source.seed)
    if source.predictions is not None:
        recorded = {name: array[np.arange(batch) % len(array)] for name, array in source.predictions.items()}
        arrays.update(recorded)
    return arrays


def _empty(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """No object: the count is clamped to 1, and every regression loss is exactly 0."""
    del rng
    return encoded(recipe, scene(recipe, batch, seed=source.seed, people=0), source.seed)


def _full(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Every slot holds an object: those that the scene left empty get a pixel and targets at random.

    The last one is none to the heatmaps: their count is odd, and above 256 bfloat16 would round it.
    """
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed, people=recipe.max_objs), source.seed)
    fill_slots(arrays, recipe, np.ones(arrays["mask"].shape, dtype=np.bool_), rng)
    for name in ("mask", "hm_hp_mask"):
        if name in arrays:
            arrays[name][-1, -1] = 0
    return arrays


def _duplicates(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Objects share a cell: every second object sits where the one before it sits, with targets of its own."""
    del rng
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    share_cells(arrays)
    return arrays


def _border(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Objects at the first and the last pixel of the map, and at the corners between; joints as well."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    height, width = recipe.map_size
    corners = np.array([0, height * width - 1, width - 1, (height - 1) * width])[: recipe.max_objs]
    place_objects_at(arrays, recipe, corners, rng)
    return arrays


def _saturated(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Logits of ±30: the probability sits on upstream's clamp, wrong as often as right."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    for head, name in focal_predictions(recipe):
        low, high = (1e-4, 1 - 1e-4) if recipe.activation.get(head) == "applied" else (-SATURATED, SATURATED)
        arrays[name] = np.where(rng.random(arrays[name].shape) < 0.5, low, high).astype(np.float32)
    return arrays


def _ignore(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """The heatmap is 1 inside ignored regions, without a mask: those pixels cost nothing.

    The relatives have no such regions, but the same heatmap: to CornerNet's focal loss each of those pixels is an object.
    """
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed, ignored=IGNORED), source.seed)
    if recipe.family != "centertrack":
        size = np.array(recipe.map_size)
        for image in arrays["hm"]:
            corners, reaches = rng.random((IGNORED, 2)), rng.uniform(0, LARGEST_REGION, (IGNORED, 2))
            for corner, reach in zip((corners * size).astype(int), (reaches * size).astype(int), strict=True):
                bottom, right = corner + reach + 1
                image[rng.integers(recipe.classes), corner[0] : bottom, corner[1] : right] = 1
    return arrays


def _single(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """One object an image."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed, people=1), source.seed)
    height, width = recipe.map_size
    place_objects_at(arrays, recipe, rng.integers(0, height * width, 1), rng)
    return arrays


def _adversarial(make: Maker, *graphs: tuple[str, ...], batch: int = 1) -> GoldenCase:
    return GoldenCase(make, batch=batch, graphs=sum(graphs, ()))


def _of_head(head: str, make: Maker, *graphs: tuple[str, ...]) -> GoldenCase:
    return GoldenCase(make, graphs=sum(graphs, ()), head=head)


_GATHER = ("gather_feat",)
_HEATMAP = ("fast_focal", "focal")
_DISTANCE = ("reg_weighted_l1", "reg_l1", "norm_reg_l1", "l1", "smooth_l1", "code_weighted_l1")
_ROTATION, _IDENTITY = ("bin_rot",), ("identity",)
_TOTAL = ("generic_loss",)

CASES: dict[str, GoldenCase] = {
    "nominal": GoldenCase(_nominal, whole=_TOTAL),
    "empty": GoldenCase(_empty),
    "full": GoldenCase(_full),
    "duplicates": GoldenCase(_duplicates),
    "border": GoldenCase(_border),
    "saturated": GoldenCase(_saturated),
    "ignore": GoldenCase(_ignore),
    "single": GoldenCase(_single, batch=1),
    "cancelling": _adversarial(adversarial.cancelling, _HEATMAP, _DISTANCE, _TOTAL, batch=2),
    "uniform": _adversarial(adversarial.uniform, _HEATMAP, _DISTANCE, _TOTAL),
    "denormals": _adversarial(adversarial.denormals, _GATHER, _HEATMAP, _DISTANCE),
    "huge": _adversarial(adversarial.huge, _DISTANCE),
    "one_pixel": _adversarial(adversarial.one_pixel, _HEATMAP),
    "all_classes": _adversarial(adversarial.all_classes, _HEATMAP),
    "clamped": _adversarial(adversarial.clamped, _HEATMAP, _TOTAL),
    "infinite": _adversarial(adversarial.infinite, _HEATMAP, _DISTANCE),
    "non_finite": _adversarial(adversarial.non_finite, _GATHER, _TOTAL),
    "one_bin": _of_head("rot", family_cases.one_bin, _ROTATION, _TOTAL),
    "joints_off": _of_head("hps", family_cases.joints_off, _TOTAL),
    "hidden_joints": _of_head("hm_hp", family_cases.hidden_joints, _TOTAL),
    "far_and_near": _of_head("dep", family_cases.far_and_near, _TOTAL),
    "absent_identity": _of_head("id", family_cases.absent_identity, _IDENTITY, _TOTAL),
}
