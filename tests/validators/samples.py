"""Small recipes and batches that the validators' tests share."""

__all__ = ["engine_row", "full_report", "recipe_of", "result_row", "sample_batch"]

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, Recipe, prediction_name
from lossrt.validators.report import EngineRow, Report, Result, make_report
from lossrt.validators.tolerances import DEFAULT_POLICY, grade


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


def full_report(*, seed: int = 0, trouble: bool = False, backend: str = "ort", arch: str = "cpu") -> Report:
    """Return a report the size of mot17 with three precisions: 24 cases of 4 graphs, and engines that did not run.

    Args:
        seed: Seed of the values and errors.
        trouble: Let fp16 overflow in the case `saturated`, fail in `huge` and warn in `dense`.
        backend: What ran them.
        arch: What it ran on.
    """
    rng = np.random.default_rng(seed)
    heads = ("reg", "wh", "tracking", "ltrb_amodal")
    graphs = {
        "gather_feat": ("gathered",),
        "fast_focal": ("loss",),
        "reg_weighted_l1": ("loss",),
        "generic_loss": ("loss", "loss_hm", *(f"loss_{head}" for head in heads)),
    }
    cases = ("nominal", "empty", "saturated", "huge", "dense", *(f"seed_{number}" for number in range(19)))
    precisions = ("fp32", "fp16", "bf16")
    rows = [
        _drawn(rng, trouble, backend=backend, arch=arch, precision=precision, graph=graph, case=case, output=output)
        for precision in precisions
        for graph, outputs in graphs.items()
        for case in cases
        for output in outputs
    ]
    engines = [engine_row(graph=graph, precision=precision, ran=False) for graph in graphs for precision in precisions]
    return make_report("ab" * 32, rows, policy=DEFAULT_POLICY, engines=engines, environment={"device": "paper"})


def _drawn(rng: np.random.Generator, trouble: bool, **names: str) -> Result:
    value = float(abs(rng.normal(2, 1.5)) + 0.01)
    allowed = value * float(rng.uniform(1e-6, 5e-6))
    excess = 0.0 if names["graph"] == "gather_feat" else min(10 ** float(rng.normal(-1.9, 0.6)), 0.9)
    if trouble and names["precision"] == "fp16" and names["output"] in {"loss", "loss_hm"}:
        excess = {"saturated": np.inf, "huge": 4300.0, "dense": 4.0}.get(names["case"], excess)
    actual = value + excess * allowed
    ulp = excess * allowed / float(np.spacing(np.float32(value)))
    numbers = {"actual": actual, "reference": value, "oracle": value, "error": excess * allowed, "allowed": allowed}
    return result_row(**names, **numbers, ulp=ulp, index=(1, 57, 0) if names["output"] == "gathered" else ())
