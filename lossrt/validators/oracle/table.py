"""Which oracle knows which graph: from wire names to float64 estimates of every output."""

__all__ = ["ORACLES", "Oracle"]

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from lossrt.recipe import Recipe
from lossrt.spec import Estimate
from lossrt.validators.oracle.gather import gather_feat
from lossrt.validators.oracle.generic import generic_loss, head_loss

Arrays = Mapping[str, NDArray[Any]]
Oracle = Callable[[Recipe, Arrays], dict[str, Estimate]]


def _gather_feat(_: Recipe, arrays: Arrays) -> dict[str, Estimate]:
    return {"gathered": gather_feat(arrays["feat"], arrays["ind"])}


def _fast_focal(recipe: Recipe, arrays: Arrays) -> dict[str, Estimate]:
    return {"loss": head_loss(recipe, "hm", arrays["pred_hm"], arrays)}


def _reg_weighted_l1(recipe: Recipe, arrays: Arrays) -> dict[str, Estimate]:
    return {"loss": head_loss(recipe, "reg", arrays["pred_reg"], arrays)}


ORACLES: dict[str, Oracle] = {
    "gather_feat": _gather_feat,
    "fast_focal": _fast_focal,
    "reg_weighted_l1": _reg_weighted_l1,
    "generic_loss": generic_loss,
}
"""By graph name: the recipe and the inputs as deployed, in; an estimate of every output, out.

Inputs may come in any deployed float type; they are widened to float64 as they are, so rounding is not repeated.
"""
