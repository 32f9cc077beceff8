"""`torch.ops.lossrt.gather_feat`: read a head's values at M pixels without moving the map.

Upstream permutes the whole map to B×HW×D and copies it before it gathers (CenterTrack `src/lib/model/utils.py`).
Here the map stays as it is and only the small result is transposed.
"""

__all__ = ["GatherFeat", "gather_by_channel", "gather_feat", "gathered_head", "spec"]

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lossrt.models.shared_pixels import map_from_slots
from lossrt.recipe import Recipe
from lossrt.spec import GraphSpec, OutputSpec, TensorSpec


@torch.library.custom_op("lossrt::gather_feat", mutates_args=())
def gather_feat(feat: Tensor, ind: Tensor) -> Tensor:
    """Gather the channels of a map at flat pixel indices.

    Shapes:
        feat    [B, D, H, W]  float
        ind     [B, M]        int64  y·W + x, in [0, H·W)
        return  [B, M, D]     float  in the unit of feat

    Raises:
        RuntimeError: An index lies outside the map.
    """
    index_BDM = ind.unsqueeze(1).expand(-1, feat.shape[1], -1)
    return feat.flatten(2).gather(2, index_BDM).transpose(1, 2).contiguous()


@gather_feat.register_fake
def _(feat: Tensor, ind: Tensor) -> Tensor:
    return feat.new_empty(ind.shape[0], ind.shape[1], feat.shape[1])


def _keep_for_backward(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    del output
    feat, ind = inputs
    ctx.save_for_backward(ind)
    ctx.map_shape = feat.shape  # type: ignore[attr-defined]  # ctx takes any attribute


def _backward(ctx: torch.autograd.function.FunctionCtx, grad_BMD: Tensor) -> tuple[Tensor, None]:
    """Add every slot's gradient to its pixel: slots that share a pixel add up."""
    (ind,) = ctx.saved_tensors  # type: ignore[attr-defined]
    height, width = ctx.map_shape[2:]  # type: ignore[attr-defined]
    grad_BDP = map_from_slots(grad_BMD.transpose(1, 2), ind, height * width)
    return grad_BDP.reshape(*grad_BDP.shape[:2], height, width), None


gather_feat.register_autograd(_backward, setup_context=_keep_for_backward)


class _ByChannel(torch.autograd.Function):
    """One gather a channel on the way there, one scatter for all of them on the way back."""

    @staticmethod
    def forward(feat: Tensor, ind: Tensor) -> Tensor:
        batch, channels, height, width = feat.shape
        one_map = feat.reshape(batch, 1, -1, width)
        rows = [gather_feat(one_map, ind + channel * (height * width)).squeeze(2) for channel in range(channels)]
        return torch.stack(rows, dim=1)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        _keep_for_backward(ctx, inputs, output)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad_BDM: Tensor) -> tuple[Tensor, None]:
        return _backward(ctx, grad_BDM.transpose(1, 2))


def gather_by_channel(feat: Float[Tensor, "B D H W"], ind: Int64[Tensor, "B M"]) -> Float[Tensor, "B D M"]:
    """Gather each channel of a map on its own, from the flat map: the channel is folded into the index."""
    rows: Tensor = _ByChannel.apply(feat, ind)  # type: ignore[no-untyped-call]
    return rows


def gathered_head(recipe: Recipe) -> str:
    """Return the head whose map graph `gather_feat` reads: `reg`, or the last of a recipe without it."""
    return "reg" if "reg" in recipe.active_heads else recipe.active_heads[-1]


def spec(recipe: Recipe) -> GraphSpec:
    """Return the signature of graph `gather_feat`."""
    channels = recipe.heads[gathered_head(recipe)]
    return GraphSpec(
        name="gather_feat",
        inputs=(
            TensorSpec("feat", "float32", ("B", channels, "H", "W"), "prediction"),
            TensorSpec("ind", "int64", ("B", "M"), "target", 0, "H*W"),
        ),
        outputs=(OutputSpec("gathered", ("B", "M", channels)),),
        sizes=recipe.sizes,
    )


class GatherFeat(nn.Module):
    """The gather alone, as a graph."""

    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gather `feat` at `ind`."""
        feat: Float[Tensor, "B D H W"] = tensors["feat"]
        ind: Int64[Tensor, "B M"] = tensors["ind"]
        return {"gathered": gather_feat(feat, ind)}
