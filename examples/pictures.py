"""What the demo shows: loss curves on one plot, and detections before and after on one picture."""

__all__ = ["draw_curves", "draw_detections"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from examples.pytorch_heads import Curves
from lossrt.device.decode import Detection, decode, detections_in_image
from lossrt.device.network_ports import frame_feeds, network_ports
from lossrt.device.preprocessing import network_heatmap, network_image, read_image
from lossrt.passes.network_file import read_network
from lossrt.recipe import Recipe
from lossrt.runtime.ort import OrtSession
from lossrt.targets.annotations import Frame, FramePair

Box = tuple[float, float, float, float]
HEADING = 44  # px above a picture

EXPORTED, PYTORCH = "#D55E00", "#56B4E9"  # Okabe and Ito's, told apart by colour-blind eyes as well
FOUND, MISSED, FALSE = "#009E73", "#0072B2", "#D55E00"
THRESHOLD, OVERLAP = 0.3, 0.5
WIDTH = 1280  # px of one picture
BAR = 1e-4  # how far apart the two may be


@dataclass(frozen=True, slots=True)
class Seen:
    """What a network sees of a frame, held against its annotations at an overlap (IoU) of 0.5.

    Attributes:
        found: Detections of people who are annotated.
        false: Detections of nobody.
        missed: Boxes of people whom nothing detects.
    """

    found: tuple[Box, ...]
    false: tuple[Box, ...]
    missed: tuple[Box, ...]


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
        marks = {"marker": "s", "linestyle": ":", "linewidth": width / 2, "markersize": width + 4}
        top.plot(ends, curves.validations, color=colour, label=f"{name}, validation", **marks)
    top.set(title=title, ylabel="loss", yscale="log")
    top.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    top.yaxis.set_major_formatter(ScalarFormatter())
    top.yaxis.set_minor_formatter(NullFormatter())
    top.legend(frameon=False, ncols=2)
    apart = np.abs(np.array(exported.steps) - np.array(pytorch.steps)) / np.array(pytorch.steps)
    bottom.semilogy(range(1, len(apart) + 1), np.maximum(apart, 1e-9), color="#444444", linewidth=1)
    bottom.axhline(BAR, color="#999999", linestyle="--", linewidth=1)
    bottom.text(0, BAR * 1.3, f"at most {BAR:g}", color="#666666", fontsize=8)
    bottom.set(xlabel="step", ylabel="apart, relative", ylim=(5e-10, 1e-3))
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="both", color="#E4E4E4", linewidth=0.6)
    figure.savefig(path)


def draw_detections(
    networks: Mapping[str, Path], recipe: Recipe, pairs: Sequence[FramePair], images: Path, path: Path
) -> dict[str, list[dict[str, int]]]:
    """Draw what networks see, a row a frame and a column a network; who is annotated and not seen as well.

    Args:
        networks: Their files, by what the picture calls them.
        recipe: Their heads and input size.
        pairs: The frames.
        images: Folder with `img1`.
        path: `.png` file to write.

    Returns:
        How many are found, false and missed in each frame, by network.
    """
    counts: dict[str, list[dict[str, int]]] = {name: [] for name in networks}
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
            (detections,) = decode(maps, recipe, threshold=THRESHOLD)
            seen = _compared(detections_in_image(detections, recipe, image_size=pixels.shape[:2]), frame)
            counts[name].append({"found": len(seen.found), "false": len(seen.false), "missed": len(seen.missed)})
            cells.append(_drawn(pixels, seen, name))
        columns.append(np.concatenate(cells))
    Image.fromarray(np.concatenate(columns, axis=1)).save(path)
    return counts


def _compared(detections: Sequence[Detection], frame: Frame) -> Seen:
    """Give each detection, the surest first, the annotated person whom it overlaps most."""
    people = [tuple(box) for box in frame.boxes[frame.class_ids == 1].tolist()]
    left, found, false = list(people), [], []
    for detection in sorted(detections, key=lambda one: -one.score):
        best = max(left, key=lambda box: _overlap(box, detection.box), default=None)
        if best is not None and _overlap(best, detection.box) >= OVERLAP:
            left.remove(best)
            found.append(detection.box)
        else:
            false.append(detection.box)
    return Seen(tuple(found), tuple(false), tuple(left))


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection of two boxes over their union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both) if both else 0.0


def _image(folder: Path, index: int) -> Path:
    (path,) = (folder / "img1").glob(f"{index:06d}.*")
    return path


def _drawn(pixels: NDArray[np.uint8], seen: Seen, name: str) -> NDArray[np.uint8]:
    """Return the frame, enlarged before anything is drawn on it, with a line of counts above it."""
    height, width = pixels.shape[:2]
    scale = WIDTH / width
    canvas = Image.new("RGB", (WIDTH, round(height * scale) + HEADING), "white")
    frame = Image.fromarray(pixels).resize((WIDTH, canvas.height - HEADING), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(frame)
    groups = ((seen.missed, MISSED, "missed"), (seen.false, FALSE, "false"), (seen.found, FOUND, "found"))
    for boxes, colour, _ in groups:
        for left, top, right, bottom in boxes:
            if right > left and bottom > top:
                pen.rectangle((left * scale, top * scale, right * scale, bottom * scale), outline=colour, width=3)
    canvas.paste(frame, (0, HEADING))
    heading, at = ImageDraw.Draw(canvas), 8.0
    parts = [(f"{name}:", "black"), *((f"{len(boxes)} {what}", colour) for boxes, colour, what in reversed(groups))]
    parts.append((f"of {len(seen.found) + len(seen.missed)} people annotated", "black"))
    for text, colour in parts:
        heading.text((at, 8), text, fill=colour, font_size=24)
        at += heading.textlength(f"{text}  ", font_size=24)
    return np.asarray(canvas)
