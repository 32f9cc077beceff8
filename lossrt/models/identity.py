"""FairMOT's identity loss: cross-entropy over all identities at the objects' pixels, masked instead of indexed.

Source: FairMOT `src/lib/trains/mot.py`, MotLoss.
"""

__all__ = ["Identity"]

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lossrt.models.gather import gather_feat
from lossrt.models.head_loss import HeadLoss, index_spec, mask_spec
from lossrt.spec import TensorSpec

NORM_MIN = 1e-12
SQUARE_MIN = NORM_MIN**2


class Identity(HeadLoss):
    """Mean of −log softmax(W·(s·x/‖x‖) + b) at the true identity, s = √2·ln(N−1), over objects with an identity.

    Without such an object it is 0/0 = NaN, as in PyTorch. The classifier's weights are inputs of the graph.
    """

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the index, the mask, the identities and the classifier."""
        channels = self.recipe.heads[self.head]
        return (
            index_spec(self.head),
            mask_spec(),
            TensorSpec("ids", "int64", ("B", "M"), "target", -1, "N"),
            TensorSpec("id_weight", "float32", ("N", channels), "parameter"),
            TensorSpec("id_bias", "float32", ("N",), "parameter"),
        )

    def blocks(self, prediction: Tensor, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
        """Return the cross-entropies of the objects with an identity and their number, as rows of M."""
        ids = tensors["ids"]
        known = (tensors["mask"] > 0) & (ids >= 0)
        # Select before anything is computed: upstream never reads the other slots, whose gradient is 0 whatever they hold.
        embedding_BME = torch.where(known.unsqueeze(2), gather_feat(prediction, tensors["ind"]), 0.0)
        # Clamped before the root, whose slope at 0 is infinite.
        norm = (embedding_BME * embedding_BME).sum(-1, keepdim=True).clamp(min=SQUARE_MIN).sqrt()
        scaled = embedding_BME / norm * self.scale
        logits_BMN = scaled @ tensors["id_weight"].transpose(0, 1) + tensors["id_bias"]
        # Whatever is subtracted, the result and its gradient are the same.
        highest = logits_BMN.amax(-1, keepdim=True).detach()
        spread = (logits_BMN - highest).exp().sum(-1).log() + highest.squeeze(-1)
        own = ids.unsqueeze(2) == torch.arange(logits_BMN.shape[2], device=ids.device)
        right = torch.where(own, logits_BMN, 0.0).sum(-1)
        entropy = torch.where(known, spread - right, 0.0)
        return entropy.unsqueeze(1), known.to(entropy.dtype).unsqueeze(1)

    @property
    def scale(self) -> float:
        """√2·ln(N−1), which an embedding of length 1 is stretched by."""
        return math.sqrt(2) * math.log((self.recipe.identities or 2) - 1)

    def finish(self, sums: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Divide by the number of objects with an identity."""
        del tensors
        total, count = sums
        return {"": total / count}

    def constants(self) -> tuple[float, ...]:
        """Return the scale and the square of the least norm."""
        return (self.scale, SQUARE_MIN)
