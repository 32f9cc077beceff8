"""Small recipes and batches that the validators' tests share."""

__all__ = ["engine_row", "recipe_of", "result_row", "sample_batch"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, Recipe, prediction_name
from lossrt.validators.report import EngineRow, Result
from lossrt.validators.tolerances import grade


def recipe_of(**changes: Any) -> Recipe:
    """Return a recipe with all of mot17's heads, on a 4x6 map with 3 classes and 5 slots."""
    heads = {"hm": 3, "reg": 2, "wh": 2, "tracking": 2, "ltrb_amodal": 4}
    weights = {"hm": 1.0, "reg": 1.0, "wh": 0.1, "tracking": 1.0, "ltrb_amodal": 0.1}
    plain = {"name": "small", "input": [16, 24], "classes": 3, "max_objs": 5, "batch": 2}
    return Recipe.model_validate({**plain, "heads": heads, "weights": weights, **changes})


def sample_batch(
    recipe: Recipe, seed: int = 0, *, spread: float = 3.0, objects: float = 0.6
) -> dict[str, NDArray[Any]]:
    """Return predictions and targets of generic_loss, drawn at random.

    Args:
        recipe: Sizes, heads and stacks.
        seed: Seed of everything drawn.
        spread: Standard deviation of the predictions.
        objects: Share of the slots that hold an object.
    """
    rng = np.random.default_rng(seed)
    size = recipe.sizes
    batch, slots, pixels = size["B"], size["M"], (size["H"], size["W"])
    mask = (rng.random((batch, slots)) < objects).astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {}
    for head, channels in recipe.heads.items():
        for stack in range(recipe.num_stacks):
            values = rng.normal(0, spread, (batch, channels, *pixels))
            if recipe.activation.get(head) == "applied":
                values = np.clip(1 / (1 + np.exp(-values)), 1e-4, 1 - 1e-4)
            arrays[prediction_name(head, stack)] = values.astype(np.float32)
        if HEADS[head].loss == "reg_weighted_l1":
            arrays[head] = rng.normal(0, spread, (batch, slots, channels)).astype(np.float32)
            arrays[f"{head}_mask"] = np.repeat(mask[:, :, None], channels, axis=2)
    arrays["hm"] = rng.random((batch, size["C"], *pixels), dtype=np.float32) ** 4
    arrays["ind"] = rng.integers(0, pixels[0] * pixels[1], (batch, slots))
    arrays["cat"] = rng.integers(0, size["C"], (batch, slots))
    arrays["mask"] = mask
    return arrays


def result_row(**changes: Any) -> Result:
    """Return a row of a report that passes, unless the changes say otherwise; its verdict follows its error."""
    plain: dict[str, Any] = {
        "recipe": "mot17",
        "graph": "generic_loss",
        "precision": "fp32",
        "backend": "ort",
        "arch": "cpu",
        "case": "nominal",
        "output": "loss",
        "index": (),
        "actual": 2.1,
        "reference": 2.1,
        "oracle": 2.1,
        "error": 0.0,
        "allowed": 2.2e-5,
        "ulp": 0.0,
    }
    row = {**plain, **changes}
    return Result(**{"verdict": grade(row["error"], row["allowed"]), **row})


def engine_row(**changes: Any) -> EngineRow:
    """Return an engine that ran, unless the changes say otherwise."""
    plain: dict[str, Any] = {
        "graph": "generic_loss",
        "precision": "fp32",
        "backend": "rtx",
        "arch": "sm89",
        "dims": "B=10",
        "bytes": 975_684,
        "kernels": 3,
        "scratch_bytes": 5_632,
        "build_s": 4.2,
        "ran": True,
    }
    return EngineRow(**{**plain, **changes})
