"""What every export-friendly loss of a head has in common: its inputs, its terms as rows of M, and its tail."""

__all__ = ["HeadLoss", "gather_rows", "index_spec", "mask_spec"]

import abc
from collections.abc import Mapping, Sequence

from jaxtyping import Float, Int64
from torch import Tensor, nn

from lossrt.models.depth import DEPTH_EPSILON, depth
from lossrt.models.gather import gather_by_channel, gather_feat
from lossrt.recipe import HEADS, Recipe
from lossrt.spec import TensorSpec


class HeadLoss(nn.Module, abc.ABC):
    """One head's loss, split where the sums are: terms before, scalars after.

    All sums of a graph are made at once, so a loss gives blocks of terms and gets one sum a block back.

    Args:
        recipe: Sizes, activation and whatever else the loss needs.
        head: The head.
        dynamic: Names of the dimensions that stay open in the graph.
    """

    def __init__(self, recipe: Recipe, head: str, dynamic: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.recipe = recipe
        self.head = head
        self.dynamic = dynamic
        self.index = HEADS[head].index

    @abc.abstractmethod
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the targets and parameters that the loss takes beside the prediction."""

    @abc.abstractmethod
    def blocks(self, prediction: Float[Tensor, "B D H W"], tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the terms of every sum, [B, rows, M] each."""

    @abc.abstractmethod
    def finish(self, sums: Sequence[Float[Tensor, "1"]], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss, [1], under the name `""`, and further results under a suffix.

        Args:
            sums: One sum a block, in the order of the blocks.
            tensors: The graph's inputs, for sizes.
        """

    def gathered(self, prediction: Float[Tensor, "B D H W"], tensors: Mapping[str, Tensor]) -> Float[Tensor, "B R M"]:
        """Return the head at the objects' pixels as rows of M; a raw `dep` head as depths, m, whatever its loss."""
        rows = gather_rows(prediction, tensors[self.index], tensors["ind"].shape[1])
        return depth(rows) if self._raw_depth else rows

    def constants(self) -> tuple[float, ...]:
        """Return the epsilons, clamps and weights that must survive the export."""
        return (DEPTH_EPSILON,) if self._raw_depth else ()

    @property
    def _raw_depth(self) -> bool:
        return self.head == "dep" and not self.recipe.is_applied("dep")

    def suffixes(self) -> dict[str, tuple[int, ...]]:
        """Return the further results: shape by suffix."""
        return {}


def index_spec(head: str) -> TensorSpec:
    """Return the spec of the index that a head is read at."""
    return TensorSpec(HEADS[head].index, "int64", ("B", HEADS[head].slots), "target", 0, "H*W")


def mask_spec() -> TensorSpec:
    """Return the spec of `mask`, 1 where a slot holds an object."""
    return TensorSpec("mask", "float32", ("B", "M"), "target", 0, 1)


def gather_rows(
    pred_BDHW: Float[Tensor, "B D H W"] | Float[Tensor, "B D S"], ind: Int64[Tensor, "B S"], slots: int
) -> Float[Tensor, "B R M"]:
    """Gather a head at the objects' pixels, as rows of M: channel by channel, and part by part where S is 17·M.

    Heads of three or four channels are read one by one from the flat map: in this mix TensorRT pulls every gather into
    the kernel of the sums.

    Args:
        pred_BDHW: The map; or [B, D, S], what a network computed at these pixels alone, which is only laid out.
        ind: Flat pixel indices, S a multiple of M.
        slots: M.
    """
    if pred_BDHW.ndim == 3:
        return pred_BDHW.reshape(pred_BDHW.shape[0], -1, slots)
    batch, channels = pred_BDHW.shape[:2]
    if channels not in (3, 4):
        rows_BDS: Tensor = gather_feat(pred_BDHW, ind).transpose(1, 2)
    else:
        rows_BDS = gather_by_channel(pred_BDHW, ind)
    return rows_BDS.reshape(batch, -1, slots)
