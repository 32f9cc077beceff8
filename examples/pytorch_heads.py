"""The same fine-tuning as PyTorch does it: autograd and torch.optim on the heads alone, to compare with."""

__all__ = ["Curves", "tune_in_pytorch"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lossrt.arrays import read_arrays
from lossrt.device.finetune.options import FinetuneOptions, learning_rate
from lossrt.device.finetune.partition import Partition
from lossrt.device.network_ports import frame_feeds, network_ports
from lossrt.device.preprocessing import network_heatmap, network_image, read_image
from lossrt.models.reference.generic import GenericLoss
from lossrt.passes.network_file import read_network
from lossrt.recipe import Finetune, Recipe
from lossrt.runtime.ort import OrtSession
from lossrt.targets.annotations import Frame, FramePair
from lossrt.targets.encode import encode_batch


@dataclass(frozen=True, slots=True)
class Curves:
    """What a run measured.

    Attributes:
        steps: Loss before each step.
        validations: Mean validation loss before training and after each epoch.
        weights: The heads' weights with the lowest validation loss, by the network's names.
    """

    steps: list[float]
    validations: list[float]
    weights: dict[str, NDArray[Any]]


class Heads(nn.Module):
    """The heads of a network that was split: convolution 3x3, ReLU, convolution 1x1.

    Args:
        recipe: Which heads.
        weights: Their weights, by CenterTrack's names.
    """

    def __init__(self, recipe: Recipe, weights: Mapping[str, NDArray[Any]]) -> None:
        super().__init__()
        self.names = recipe.active_heads
        for head in self.names:
            hidden, features = weights[f"{head}.0.weight"].shape[:2]
            first, last = nn.Conv2d(features, hidden, 3, padding=1), nn.Conv2d(hidden, recipe.heads[head], 1)
            self.add_module(head, nn.Sequential(first, nn.ReLU(), last))
        self.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return every head's map."""
        return {head: self.get_submodule(head)(features) for head in self.names}


class Features:
    """What the backbone that `lossrt split` wrote gives for each frame, computed once.

    Args:
        backbone: Its file.
        recipe: Input size.
        images: Folder with `img1`.
    """

    def __init__(self, backbone: Path, recipe: Recipe, images: Path) -> None:
        self._session = OrtSession(backbone, threads=1)
        self._ports = network_ports(read_network(backbone), recipe)
        self._recipe, self._images = recipe, images
        self._known: dict[int, Tensor] = {}

    def of(self, pairs: Sequence[FramePair]) -> Tensor:
        """Return [B, F, H, W]."""
        for frame, previous in pairs:
            if frame.index not in self._known:
                (array,) = self._session.run(self._feeds(frame, previous)).values()
                self._known[frame.index] = torch.from_numpy(array)
        return torch.cat([self._known[frame.index] for frame, _ in pairs])

    def _feeds(self, frame: Frame, previous: Frame | None) -> dict[str, NDArray[Any]]:
        return frame_feeds(
            self._ports,
            self._picture(frame),
            previous_image=self._picture(previous) if previous else None,
            previous_heatmap=network_heatmap(previous, self._recipe),
        )

    def _picture(self, frame: Frame) -> NDArray[np.float32]:
        (path,) = (self._images / "img1").glob(f"{frame.index:06d}.*")
        return network_image(read_image(path), self._recipe)


def tune_in_pytorch(
    parts: Path, recipe: Recipe, frames: Partition, images: Path, *, options: FinetuneOptions
) -> Curves:
    """Train the heads as `lossrt finetune` does: same features, same order of frames, same optimizer.

    Args:
        parts: What `lossrt split` wrote.
        recipe: Heads, losses and the optimizer's settings.
        frames: Which train and which validate.
        images: Folder with `img1`.
        options: How to train; SGD on both convolutions.
    """
    weights = read_arrays(parts / "heads.safetensors", what="heads")
    features = Features(parts / "backbone.onnx", recipe, images)
    table = recipe.finetune or Finetune()
    heads, criterion = Heads(recipe, weights), GenericLoss(recipe)
    optimizer = torch.optim.SGD(heads.parameters(), options.lr, table.momentum, weight_decay=table.weight_decay)

    def loss_of(pairs: Sequence[FramePair]) -> Tensor:
        targets = {name: torch.from_numpy(array) for name, array in encode_batch(pairs, recipe).arrays.items()}
        total: Tensor = criterion([heads(features.of(pairs))], targets)[0]
        return total

    def validate() -> float:
        pairs, size = frames.validation, options.batch
        with torch.no_grad():
            parts_ = [
                (loss_of(pairs[at : at + size]).item(), len(pairs[at : at + size])) for at in range(0, len(pairs), size)
            ]
        return sum(loss * count for loss, count in parts_) / len(pairs)

    steps: list[float] = []
    validations = [validate()]
    best = {name: tensor.clone() for name, tensor in heads.state_dict().items()}
    batches = -(-len(frames.train) // options.batch)
    for epoch in range(options.epochs):
        order = np.random.default_rng([options.seed, epoch]).permutation(len(frames.train))
        for at in range(0, len(order), options.batch):
            optimizer.param_groups[0]["lr"] = learning_rate(options, len(steps), options.epochs * batches)
            total = loss_of([frames.train[place] for place in order[at : at + options.batch]])
            optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            steps.append(total.item())
        validations.append(validate())
        if validations[-1] == min(validations):
            best = {name: tensor.clone() for name, tensor in heads.state_dict().items()}
    return Curves(steps, validations, {name: tensor.numpy() for name, tensor in best.items()})
