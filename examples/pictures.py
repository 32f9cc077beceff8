"""What the demo shows: loss curves on one plot, and detections before and after on one picture."""

__all__ = ["draw_curves", "draw_detections"]

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from examples.pytorch_heads import Curves
from lossrt.device.decode import decode, detections_in_image
from lossrt.device.drawing import draw
from lossrt.device.network_ports import frame_feeds, network_ports
from lossrt.device.preprocessing import network_heatmap, network_image, read_image
from lossrt.passes.network_file import read_network
from lossrt.recipe import Recipe
from lossrt.runtime.ort import OrtSession
from lossrt.targets.annotations import FramePair

EXPORTED, PYTORCH = "#D55E00", "#56B4E9"  # Okabe and Ito's, told apart by colour-blind eyes as well
THRESHOLD = 0.3
WIDTH = 960  # px of one picture


def draw_curves(exported: Curves, pytorch: Curves, path: Path, *, title: str) -> None:
    """Draw the losses of both runs over the steps, and below how far they are apart.

    Args:
        exported: The exported step's.
        pytorch: PyTorch's.
        path: `.svg` or `.png` file to write.
        title: What was trained.
    """
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    an_epoch = len(exported.steps) / (len(exported.validations) - 1)
    ends = [number * an_epoch for number in range(len(exported.validations))]
    for curves, colour, width, name in ((pytorch, PYTORCH, 5, "PyTorch"), (exported, EXPORTED, 1.3, "exported step")):
        steps = range(1, len(curves.steps) + 1)
        top.plot(steps, curves.steps, color=colour, linewidth=width, label=f"{name}, training")
        top.plot(ends, curves.validations, "o-", color=colour, linewidth=width, markersize=width + 3, alpha=0.8)
        top.plot([], [], "o", color=colour, label=f"{name}, validation")
    top.set(title=title, ylabel="loss", yscale="log")
    top.legend(frameon=False, ncols=2)
    apart = np.abs(np.array(exported.steps) - np.array(pytorch.steps)) / np.array(pytorch.steps)
    bottom.semilogy(range(1, len(apart) + 1), np.maximum(apart, 1e-9), color="#444444", linewidth=1)
    bottom.axhline(1e-4, color="#999999", linestyle="--", linewidth=1)
    bottom.set(xlabel="step", ylabel="apart, relative", ylim=(5e-10, 1e-3))
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    figure.savefig(path)


def draw_detections(
    networks: Mapping[str, Path], recipe: Recipe, pairs: Sequence[FramePair], images: Path, path: Path
) -> dict[str, list[int]]:
    """Draw what networks see, a row a frame and a column a network.

    Args:
        networks: Their files, by what the picture calls them.
        recipe: Their heads and input size.
        pairs: The frames.
        images: Folder with `img1`.
        path: `.png` file to write.

    Returns:
        Detections a frame, by network.
    """
    found: dict[str, list[int]] = {name: [] for name in networks}
    columns = []
    for name, file in networks.items():
        session, ports = OrtSession(file, threads=1), network_ports(read_network(file), recipe)
        cells = []
        for frame, previous in pairs:
            pixels, before = (read_image(_image(images, one.index)) for one in (frame, previous or frame))
            feeds = frame_feeds(
                ports,
                network_image(pixels, recipe),
                previous_image=network_image(before, recipe),
                previous_heatmap=network_heatmap(previous, recipe),
            )
            maps = {f"pred_{head}": array for head, array in session.run(feeds).items()}
            (seen,) = decode(maps, recipe, threshold=THRESHOLD)
            drawn = draw(pixels, detections_in_image(seen, recipe, image_size=pixels.shape[:2]))
            title = f"{name}: {len(seen)} detections, {int((frame.class_ids == 1).sum())} people annotated"
            cells.append(_titled(Image.fromarray(drawn), title))
            found[name].append(len(seen))
        columns.append(np.concatenate(cells))
    Image.fromarray(np.concatenate(columns, axis=1)).save(path)
    return found


def _image(folder: Path, index: int) -> Path:
    (path,) = (folder / "img1").glob(f"{index:06d}.*")
    return path


def _titled(image: Image.Image, title: str) -> np.ndarray:
    small = image.resize((WIDTH, round(image.height * WIDTH / image.width)))
    canvas = Image.new("RGB", (WIDTH, small.height + 34), "white")
    canvas.paste(small, (0, 34))
    ImageDraw.Draw(canvas).text((8, 6), title, fill="black", font_size=20)
    return np.asarray(canvas)
