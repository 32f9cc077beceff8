"""CenterTrack's RegWeightedL1Loss: masked L1 distance at the objects' pixels, in export-friendly operators.

Source: CenterTrack `src/lib/model/losses.py`, RegWeightedL1Loss.
"""

__all__ = ["RegWeightedL1", "spec"]

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lossrt.models.gather import gather_feat
from lossrt.models.row_sums import sum_blocks
from lossrt.recipe import Recipe
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec

EPSILON = 1e-4


def spec(recipe: Recipe) -> GraphSpec:
    """Return the signature of graph `reg_weighted_l1`: the loss of head `reg` alone."""
    channels = recipe.heads.get("reg", 2)
    return GraphSpec(
        name="reg_weighted_l1",
        inputs=(
            TensorSpec("pred_reg", "float32", ("B", channels, "H", "W"), "prediction", unit="px"),
            TensorSpec("ind", "int64", ("B", "M"), "target", 0, "H*W"),
            *target_specs("reg", channels),
        ),
        outputs=(OutputSpec("loss"),),
        sizes=recipe.sizes,
    )


def target_specs(head: str, channels: int) -> tuple[TensorSpec, TensorSpec]:
    """Return the specs of a regression head's target and mask."""
    return (
        TensorSpec(head, "float32", ("B", "M", channels), "target", unit="px"),
        TensorSpec(f"{head}_mask", "float32", ("B", "M", channels), "target", 0, 1),
    )


def blocks(
    pred_BDHW: Float[Tensor, "B D H W"],
    ind: Int64[Tensor, "B M"],
    target_BMD: Float[Tensor, "B M D"],
    mask_BMD: Float[Tensor, "B M D"],
) -> tuple[Float[Tensor, "B D M"], Float[Tensor, "B D M"]]:
    """Return the terms |pred·m − target·m| and m as rows of M.

    The mask multiplies, as upstream: NaN under a mask of 0 stays NaN.
    """
    mask_BDM = mask_BMD.transpose(1, 2)
    residual_BDM = gather_rows(pred_BDHW, ind) * mask_BDM - target_BMD.transpose(1, 2) * mask_BDM
    return residual_BDM.abs(), mask_BDM


def gather_rows(pred_BDHW: Float[Tensor, "B D H W"], ind: Int64[Tensor, "B M"]) -> Float[Tensor, "B D M"]:
    """Gather a head at the objects' pixels, one row a channel.

    Heads of more than two channels are read channel by channel from the flat map: in this mix TensorRT pulls every
    gather into the kernel of the sums.
    """
    channels, height, width = pred_BDHW.shape[1:]
    if channels <= 2:
        pair_BMD: Tensor = gather_feat(pred_BDHW, ind)
        return pair_BMD.transpose(1, 2)
    one_map = pred_BDHW.reshape(pred_BDHW.shape[0], 1, -1, width)
    rows = [gather_feat(one_map, ind + channel * (height * width)).squeeze(2) for channel in range(channels)]
    return torch.stack(rows, dim=1)


def finish(total: Float[Tensor, "1"], count: Float[Tensor, "1"]) -> Float[Tensor, "1"]:
    """Divide by the number of masked-in elements; with none, 0 / 1e-4 is exactly 0."""
    return total / (count + EPSILON)


class RegWeightedL1(nn.Module):
    """Σ|pred·m − target·m| / (Σm + 1e-4) over slots and channels, m the mask of shape [B, M, D]."""

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `loss`, a scalar in the unit of the head, from the tensors of the graph's spec."""
        terms = blocks(tensors["pred_reg"], tensors["ind"], tensors["reg"], tensors["reg_mask"])
        return {"loss": finish(*sum_blocks(terms)).squeeze(0)}
