"""What a network half-way through training might aim at, head by head, and the learned parameters of its losses."""

__all__ = ["DEPTH_EPSILON", "aims", "background", "depth_logits", "parameters"]

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.recipe import HEADS, Recipe

DEPTH_EPSILON = 1e-6  # of upstream's 1/(sigmoid + 1e-6) - 1
NEAREST = 0.05  # m; a depth of 0 has no logit
BACKDROP = 20.0  # m, where there is no object
CERTAINTY = 1.5  # logit for what is so, and against what is not
LIKENESS = 1.2  # length of an embedding along its identity's row, where the noise is about as long
UNCERTAINTY = {"s_det": -1.85, "s_id": -1.05}  # where FairMOT starts them

Arrays = Mapping[str, NDArray[Any]]


def parameters(recipe: Recipe, *, seed: int) -> dict[str, NDArray[np.float32]]:
    """Make up the parameters that are learned with the losses; only FairMOT has any.

    The identities' classifier starts as PyTorch starts a linear layer, uniform within 1/√E of 0.

    Args:
        recipe: Its `identities` and the channels of head `id`.
        seed: Seed of everything random.

    Returns:
        `id_weight` [N, E] and `id_bias` [N] where head `id` takes part, and the scalars `s_det` and `s_id`, float32;
        nothing for another family.
    """
    uncertainties = {name: np.array(value, dtype=np.float32) for name, value in UNCERTAINTY.items()}
    if "id" not in recipe.active_heads or recipe.identities is None:
        return uncertainties if recipe.family == "fairmot" else {}
    rng = np.random.default_rng([seed, 2])
    channels = recipe.heads["id"]
    bound = 1 / math.sqrt(channels)
    learned = {
        "id_weight": rng.uniform(-bound, bound, (recipe.identities, channels)).astype(np.float32),
        "id_bias": rng.uniform(-bound, bound, recipe.identities).astype(np.float32),
    }
    return learned | uncertainties


def aims(
    head: str, batch: Arrays, recipe: Recipe, *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return where the objects are and what the head would say of them if it were right.

    Args:
        head: A head that is read at cells.
        batch: Targets with B in front.
        recipe: Its loss parameters decide what an embedding aims at.
        seed: Seed of those parameters.

    Returns:
        [n] image, [n] cell, and [n, D] float32: the target itself, or the logits, sines, cosines or embeddings that
        stand for it. A depth is in m.
    """
    index = HEADS[head].index
    image, slot = np.nonzero(batch["mask" if index == "ind" else "hm_hp_mask"])
    cells = batch[index][image, slot]
    if head == "rot":
        return image, cells, _rotations(batch["rotbin"][image, slot], batch["rotres"][image, slot])
    if head == "nuscenes_att":
        sure = np.where(batch[head] > 0, np.float32(CERTAINTY), np.float32(-CERTAINTY)) * batch[f"{head}_mask"]
        return image, cells, sure[image, slot]
    if head == "id":
        return image, cells, _embeddings(batch["ids"][image, slot], parameters(recipe, seed=seed)["id_weight"])
    return image, cells, batch[head][image, slot]


def background(head: str) -> float:
    """Return what a head says where there is no object."""
    return BACKDROP if head == "dep" else 0.0


def depth_logits(depths: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits that upstream's transform turns into these depths, m; it cannot say more than 1e6."""
    sigmoid = 1 / (np.maximum(depths, np.float32(NEAREST)).astype(np.float64) + 1) - DEPTH_EPSILON
    sigmoid = np.maximum(sigmoid, DEPTH_EPSILON)
    logits: NDArray[np.float64] = np.log(sigmoid / (1 - sigmoid))
    return logits.astype(np.float32)


def _rotations(bins: NDArray[np.int64], residuals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [n, 8]: for each of two bins two logits, of not being in it and of being in it, then sine and cosine."""
    inside = bins[:, :, None] > 0
    logits = np.where(inside == np.array([False, True]), CERTAINTY, -CERTAINTY)
    turn = np.where(inside, np.stack([np.sin(residuals), np.cos(residuals)], axis=-1), 0.0)
    return np.concatenate([logits, turn], axis=2).reshape(len(bins), 8).astype(np.float32)


def _embeddings(ids: NDArray[np.int64], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [n, E]: a vector along the row of each identity, nothing for those without one."""
    rows = weight[np.maximum(ids, 0)]
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
    return np.where(ids[:, None] >= 0, rows / lengths * np.float32(LIKENESS), np.float32(0))
