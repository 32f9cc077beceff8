"""Trains the base network in PyTorch, on images as the device will see them."""

__all__ = ["train_base"]

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lossrt.device.preprocessing import network_heatmap, network_image, read_image
from lossrt.models.network import TrackingNetwork
from lossrt.models.reference.generic import GenericLoss
from lossrt.recipe import Recipe
from lossrt.targets.annotations import FrameSequence
from lossrt.targets.encode import encode_batch

BATCH = 4
LEARNING_RATE = 2e-3


def train_base(
    recipe: Recipe,
    scene: FrameSequence,
    folder: Path,
    *,
    steps: int,
    seed: int,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> TrackingNetwork:
    """Train a network from scratch.

    Args:
        recipe: Heads and sizes.
        scene: Annotated frames.
        folder: Where their images lie, in MOTChallenge's layout.
        steps: Steps of Adam, the learning rate falling to 0.
        seed: Seed of the weights and of the frames' order.
        progress: Called with what is being done, steps done and steps in all.
    """
    torch.manual_seed(seed)
    network = TrackingNetwork(recipe.heads).train()
    criterion = GenericLoss(recipe)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    pictures = [network_image(read_image(folder / "img1" / f"{frame.index:06d}.png"), recipe) for frame in scene.frames]
    rng = np.random.default_rng(seed)
    for done in range(steps):
        chosen = rng.integers(0, len(pictures), BATCH)
        inputs, targets = _batch(recipe, scene, pictures, chosen)
        total, _ = criterion([network(*inputs)], targets)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        progress(f"base network, loss {total.item():.3f}", done + 1, steps)
    return network.eval()


def _batch(
    recipe: Recipe, scene: FrameSequence, pictures: list[np.ndarray], chosen: np.ndarray
) -> tuple[list[Tensor], dict[str, Tensor]]:
    pairs = [(scene.frames[place], scene.previous(place)) for place in chosen]
    before = [max(place - 1, 0) for place in chosen]
    inputs = (
        [pictures[place] for place in chosen],
        [pictures[place] for place in before],
        [network_heatmap(previous, recipe) for _, previous in pairs],
    )
    targets = encode_batch(pairs, recipe).arrays
    return [torch.from_numpy(np.stack(part)) for part in inputs], {
        name: torch.from_numpy(array) for name, array in targets.items()
    }
