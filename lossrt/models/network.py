"""A small network of CenterTrack's form, to show everything end to end on a CPU: no custom operators, seconds to train.

Source of the form: CenterTrack `src/lib/model/networks/dla.py` (three stems whose maps are added) and
`base_model.py` (heads). The trunk in the middle is our own and much smaller than DLA-34.
"""

__all__ = ["HEATMAP_BIAS", "TrackingNetwork"]

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

HEATMAP_BIAS = -4.6
"""Logit of a heatmap before training: a probability of 1 %, as rare as objects are (CenterTrack `opts.py`, prior_bias)."""


class TrackingNetwork(nn.Module):
    """Image, the one before it and a heatmap of what was there → the heads' maps, at a quarter of the size.

    Parameters of the heads are called as in CenterTrack's checkpoints: `hm.0.weight`, `hm.0.bias`, `hm.2.weight`,
    `hm.2.bias`, and are so in an exported file as well.

    Shapes:
        image     [B, 3, H_in, W_in]  float  normalized
        pre_img   [B, 3, H_in, W_in]  float  normalized
        pre_hm    [B, 1, H_in, W_in]  float  in [0, 1]
        return    one [B, D, H_in / 4, W_in / 4] a head, by head; H_in and W_in are multiples of 4

    Args:
        heads: Channels of every head, by name.
        features: Channels of the map that the heads read.
        head_conv: Channels between a head's two convolutions.
    """

    def __init__(self, heads: Mapping[str, int], *, features: int = 64, head_conv: int = 64) -> None:
        super().__init__()
        self.image_stem = _stem(3)
        self.previous_stem = _stem(3)
        self.heatmap_stem = _stem(1)
        self.quarter = _block(16, 32, stride=2)
        self.eighth = _block(32, features, stride=2)
        self.sixteenth = nn.Sequential(_block(features, features, stride=2), _block(features, features))
        self.skip = nn.Conv2d(32, features, 1)
        self.merge_eighth = _block(features, features)
        self.merge_quarter = _block(features, features)
        self.head_names = tuple(heads)
        for head, channels in heads.items():
            self.add_module(head, _head(head, features, head_conv, channels))

    def features(
        self,
        image: Float[Tensor, "B 3 H_in W_in"],
        pre_img: Float[Tensor, "B 3 H_in W_in"],
        pre_hm: Float[Tensor, "B 1 H_in W_in"],
    ) -> Float[Tensor, "B F H W"]:
        """Return the map that every head reads."""
        half = self.image_stem(image) + self.previous_stem(pre_img) + self.heatmap_stem(pre_hm)
        quarter = self.quarter(half)
        eighth = self.eighth(quarter)
        eighth = self.merge_eighth(eighth + _enlarged(self.sixteenth(eighth), eighth))
        merged: Tensor = self.merge_quarter(self.skip(quarter) + _enlarged(eighth, quarter))
        return merged

    def forward(
        self,
        image: Float[Tensor, "B 3 H_in W_in"],
        pre_img: Float[Tensor, "B 3 H_in W_in"],
        pre_hm: Float[Tensor, "B 1 H_in W_in"],
    ) -> dict[str, Tensor]:
        """Return the raw map of every head."""
        features = self.features(image, pre_img, pre_hm)
        return {head: self.get_submodule(head)(features) for head in self.head_names}


def _stem(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 16, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU())


def _block(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


def _enlarged(tensor: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(tensor, size=like.shape[-2:], mode="nearest")


def _head(name: str, features: int, hidden: int, channels: int) -> nn.Sequential:
    head = nn.Sequential(nn.Conv2d(features, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
    if name.startswith("hm"):
        nn.init.constant_(head[2].bias, HEATMAP_BIAS)  # type: ignore[arg-type]
    return head
