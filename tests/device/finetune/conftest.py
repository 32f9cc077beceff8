"""A network of the small recipe, frames with images, and the bundle with its training step."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from lossrt.bundle import Bundle
from lossrt.device.backend import Backend
from lossrt.device.finetune.run import FinetuneFiles, FinetuneResult, finetune
from lossrt.device.finetune.setup import FinetuneInputs
from lossrt.recipe import Finetune, Recipe
from lossrt.targets.annotations import FrameSequence
from lossrt.targets.scene import walking_pedestrians
from tests.cli.conftest import run as command
from tests.device.cost_baseline import graphs_bundle
from tests.device.finetune.samples import options

__all__ = ["Setting", "command"]

FRAMES = 8


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run reads; `images` is a MOTChallenge sequence's folder."""

    network: Path
    images: Path
    sequence: FrameSequence
    bundle: Bundle

    def run(self, out: Path, *, chosen=None, **changes) -> FinetuneResult:
        inputs = FinetuneInputs(self.network, (self.sequence,), frames=self.images)
        return finetune(
            replace(inputs, **changes),
            self.bundle,
            FinetuneFiles(out),
            options=chosen or options(),
            backend=Backend(threads=1),
        )


@pytest.fixture(scope="package")
def recipe(small_recipe) -> Recipe:
    """Two heads, one dense and one at the objects: a step of five takes longer to export than all else here."""
    heads = {"hm": 1, "tracking": 2}
    changes = {"heads": heads, "weights": dict.fromkeys(heads, 1.0), "finetune": Finetune(steps=("full.sgd",))}
    return small_recipe.model_copy(update=changes)


@pytest.fixture(scope="package")
def step_bundle(recipe, tmp_path_factory) -> Bundle:
    """The total loss and a training step, without golden cases."""
    pytest.importorskip("torch", reason="exporting needs PyTorch")
    place = tmp_path_factory.mktemp("bundle") / "step"
    return graphs_bundle(recipe, place, graphs=("generic_loss", "head_step_full_sgd"), precisions=("fp32",))


@pytest.fixture(scope="package")
def setting(recipe, step_bundle, tmp_path_factory) -> Setting:
    """Eight frames of noise with six people; heads of a network that was never trained."""
    torch = pytest.importorskip("torch", reason="the network is made in PyTorch")
    from lossrt.export.onnx_from_network import onnx_from_network
    from lossrt.models.network import TrackingNetwork

    folder = tmp_path_factory.mktemp("finetune")
    sequence = walking_pedestrians(recipe, frames=FRAMES, seed=1, pedestrians=6)
    (folder / "img1").mkdir()
    rng = np.random.default_rng(0)
    for frame in sequence.frames:
        pixels = rng.integers(0, 256, (frame.height, frame.width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "img1" / f"{frame.index:06d}.png")
    lines = [
        f"{frame.index},{track},{left + 1},{top + 1},{right - left},{bottom - top},1,1,1\n"
        for frame in sequence.frames
        for track, (left, top, right, bottom) in zip(frame.track_ids, frame.boxes.tolist(), strict=True)
    ]
    first = sequence.frames[0]
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_text("".join(lines))
    info = f"[Sequence]\nname=street\nseqLength={FRAMES}\nimWidth={first.width}\nimHeight={first.height}\n"
    (folder / "seqinfo.ini").write_text(info)
    torch.manual_seed(0)
    network = TrackingNetwork(recipe.heads, features=8, head_conv=4).eval()
    with warnings.catch_warnings():
        onnx.save(onnx_from_network(network, recipe), folder / "network.onnx")
    return Setting(folder / "network.onnx", folder, sequence, step_bundle)
