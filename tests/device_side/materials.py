"""What the device half is tried on: a small bundle, a network, a sequence with pictures. Made where PyTorch is."""

__all__ = ["Materials", "make_materials"]

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from lossrt.bundle import Bundle, pack_bundle
from lossrt.export.bundle_from_recipe import bundle_from_recipe
from lossrt.export.cases import scene_source
from lossrt.recipe import Recipe, load_recipe
from lossrt.validators.oracle.table import ORACLES

FRAMES = 12
CHANNELS = 6
node = helper.make_node


@dataclass(frozen=True, slots=True)
class Materials:
    """Paths of what was made.

    Attributes:
        bundle: The bundle.
        packed: The same, packed.
        network: CenterTrack's form: a trunk, and two convolutions a head.
        deformable: The same with a DeformConv in the trunk.
        sequence: MOTChallenge's layout, pictures included.
    """

    bundle: Bundle
    packed: Path
    network: Path
    deformable: Path
    sequence: Path


def make_materials(folder: Path) -> Materials:
    """Make everything below a folder; the same each time."""
    recipe = load_recipe("mot17", input=(136, 240), max_objs=32, batch=3)
    bundle = bundle_from_recipe(recipe, folder / "bundle", oracles=ORACLES, source=scene_source(recipe, seed=0))
    made = Materials(
        bundle,
        folder / "mot17.lossrt",
        folder / "network.onnx",
        folder / "deformable.onnx",
        folder / "sequence",
    )
    pack_bundle(bundle, made.packed)
    onnx.save(_network(recipe, deformable=False), made.network)
    onnx.save(_network(recipe, deformable=True), made.deformable)
    _sequence(made.sequence)
    return made


def _network(recipe: Recipe, *, deformable: bool) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {"trunk.weight": rng.normal(0, 0.1, (CHANNELS, 3, 4, 4))}
    nodes = [node("Conv", ["image", "trunk.weight"], ["stem"], "stem", kernel_shape=[4, 4], strides=[4, 4])]
    if deformable:
        weights |= {"bend.weight": rng.normal(0, 0.5, (CHANNELS, CHANNELS, 3, 3))}
        weights |= {"offset.weight": rng.normal(0, 0.5, (18, CHANNELS, 1, 1))}
        nodes.append(node("Conv", ["stem", "offset.weight"], ["offset"], "offset", kernel_shape=[1, 1]))
        inputs = ["stem", "bend.weight", "offset"]
        nodes.append(node("DeformConv", inputs, ["bent"], "bend", kernel_shape=[3, 3], pads=[1] * 4))
    nodes.append(node("Relu", ["bent" if deformable else "stem"], ["features"], "neck"))
    for head, depth in recipe.heads.items():
        first, last = (f"{head}.{layer}" for layer in (0, 2))
        weights |= {f"{first}.weight": rng.normal(0, 0.1, (8, CHANNELS, 3, 3)), f"{first}.bias": np.zeros(8)}
        weights |= {f"{last}.weight": rng.normal(0, 0.1, (depth, 8, 1, 1))}
        weights |= {f"{last}.bias": np.full(depth, -2.19 if head == "hm" else 0.0)}
        inputs = ["features", f"{first}.weight", f"{first}.bias"]
        nodes.append(node("Conv", inputs, [f"{first}.out"], f"{head}_0", kernel_shape=[3, 3], pads=[1] * 4))
        nodes.append(node("Relu", [f"{first}.out"], [f"{head}.1.out"], f"{head}_1"))
        nodes.append(node("Conv", [f"{head}.1.out", f"{last}.weight", f"{last}.bias"], [head], f"{head}_2"))
    height, width = recipe.map_size
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["B", 3, *recipe.input])],
        [
            helper.make_tensor_value_info(head, TensorProto.FLOAT, ["B", depth, height, width])
            for head, depth in recipe.heads.items()
        ],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def _sequence(folder: Path) -> None:
    """Draw three people walking to the right, bright on noise, and note where they are."""
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    width, height = 480, 272
    info = {"name": "walk", "imDir": "img1", "frameRate": 30, "seqLength": FRAMES, "imExt": ".png"}
    info |= {"imWidth": width, "imHeight": height}
    lines = "\n".join(f"{key}={value}" for key, value in info.items())
    (folder / "seqinfo.ini").write_text(f"[Sequence]\n{lines}\n", encoding="ascii")
    rng, rows = np.random.default_rng(0), []
    for index in range(1, FRAMES + 1):
        picture = rng.integers(0, 80, (height, width, 3), dtype=np.uint8)
        for track, (left, top) in enumerate(((30, 60), (150, 90), (300, 40)), start=1):
            x = left + 6 * index
            picture[top : top + 100, x : x + 40] = (200, 90 + 30 * track, 40)
            rows.append(f"{index},{track},{x},{top},40,100,1,1,1.0")
        Image.fromarray(picture).save(folder / "img1" / f"{index:06d}.png")
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n", encoding="ascii")
