"""The losses as a plain loop would compute them: every term in float32, added one after another."""

__all__ = ["loop_losses"]

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from lossrt.export.case_source import Arrays, CaseSource
from lossrt.export.cases import case_arrays
from lossrt.recipe import Recipe

Add = Callable[[NDArray[np.float32]], np.float32]
LOGIT_MAX = np.float32(np.log(9999))


def loop_losses(recipe: Recipe, source: CaseSource, *, whole: bool) -> Iterator[tuple[Arrays, str, np.float32]]:
    """Yield inputs, graph and loss: the heatmap's and one regression's, on the nominal batch of a source.

    Args:
        recipe: Sizes and heads.
        source: Where the batch comes from.
        whole: One loop over the batch; otherwise one an image.
    """
    arrays = case_arrays("nominal", recipe, batch=recipe.batch, source=source)
    add = _one_loop if whole else _loop_an_image
    yield arrays, "fast_focal", _focal(arrays, add)
    yield arrays, "reg_weighted_l1", _distance(arrays, add)


def _one_loop(terms: NDArray[np.float32]) -> np.float32:
    return np.float32(np.cumsum(terms.ravel(), dtype=np.float32)[-1])


def _loop_an_image(terms: NDArray[np.float32]) -> np.float32:
    return _one_loop(np.array([_one_loop(image) for image in terms]))


def _focal(arrays: Arrays, add: Add) -> np.float32:
    """CenterTrack `src/lib/model/losses.py`, FastFocalLoss, from the odds e = p/(1 − p)."""
    one = np.float32(1)
    odds = np.exp(np.clip(arrays["pred_hm"], -LOGIT_MAX, LOGIT_MAX))
    weight = (one - arrays["hm"]) ** 2 * odds / (odds + one)
    negative = np.log(odds + one) * weight**2
    flat = odds.reshape(*odds.shape[:2], -1)
    at = flat[np.arange(len(flat))[:, None], arrays["cat"], arrays["ind"]]
    positive = np.log((at + one) / at) / (at + one) ** 2 * arrays["mask"]
    total = add(np.concatenate([negative.reshape(len(negative), -1), positive], axis=1))
    return total / max(one, add(arrays["mask"]))


def _distance(arrays: Arrays, add: Add) -> np.float32:
    """CenterTrack `src/lib/model/losses.py`, RegWeightedL1Loss."""
    flat = arrays["pred_reg"].reshape(*arrays["pred_reg"].shape[:2], -1)
    at = np.take_along_axis(flat, arrays["ind"][:, None, :], axis=2).transpose(0, 2, 1)
    mask = arrays["reg_mask"]
    return add(np.abs(at * mask - arrays["reg"] * mask)) / (add(mask) + np.float32(1e-4))
