"""Renders generated pedestrians to images, and writes them with their annotations in MOTChallenge's layout."""

__all__ = ["Look", "write_scene"]

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lossrt.targets.annotations import Frame, FrameSequence

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """What a scene looks like.

    Attributes:
        sky: Colour of the upper part.
        ground: Colour of the lower part.
        clothes: Colours of the people, by turns.
        skin: Colour of their heads.
        noise: Standard deviation of the sensor's noise, levels.
        blur: Radius of the lens's blur, px.
    """

    sky: Colour
    ground: Colour
    clothes: tuple[Colour, ...]
    skin: Colour
    noise: float
    blur: float


def write_scene(sequence: FrameSequence, folder: Path, *, look: Look, seed: int) -> None:
    """Write `seqinfo.ini`, `gt/gt.txt` and `img1/000001.png` and so on.

    Args:
        sequence: The annotated frames.
        folder: Where to write; made if missing.
        look: What it looks like.
        seed: Seed of the background and of the noise.
    """
    (folder / "img1").mkdir(parents=True, exist_ok=True)
    (folder / "gt").mkdir(exist_ok=True)
    first = sequence.frames[0]
    backdrop = _backdrop(first.height, first.width, look, np.random.default_rng(seed))
    for frame in sequence.frames:
        pixels = _render(frame, backdrop, look, np.random.default_rng([seed, frame.index]))
        Image.fromarray(pixels).save(folder / "img1" / f"{frame.index:06d}.png", compress_level=1)
    info = {
        "name": sequence.name,
        "imDir": "img1",
        "seqLength": len(sequence.frames),
        "imWidth": first.width,
        "imHeight": first.height,
        "imExt": ".png",
    }
    lines = ["[Sequence]", *(f"{key}={value}" for key, value in info.items())]
    (folder / "seqinfo.ini").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "gt" / "gt.txt").write_text("".join(_rows(frame) for frame in sequence.frames), encoding="utf-8")


def _rows(frame: Frame) -> str:
    """Frame, track, left, top, width, height, considered, class and visibility; pixels count from 1."""
    rows = ""
    for track, (left, top, right, bottom) in zip(frame.track_ids.tolist(), frame.boxes.tolist(), strict=True):
        rows += f"{frame.index},{track},{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f},1,1,1.0\n"
    return rows


def _backdrop(height: int, width: int, look: Look, rng: np.random.Generator) -> Image.Image:
    """Sky above ground, with blocks that are no people."""
    image = Image.new("RGB", (width, height), look.ground)
    pen = ImageDraw.Draw(image)
    horizon = int(0.4 * height)
    pen.rectangle((0, 0, width, horizon), fill=look.sky)
    for _ in range(24):
        x, y = int(rng.integers(0, width)), int(rng.integers(horizon // 2, height))
        wide, tall = int(rng.integers(width // 30, width // 6)), int(rng.integers(height // 40, height // 8))
        shade = float(rng.uniform(0.75, 1.25))
        base = look.sky if y < horizon else look.ground
        pen.rectangle((x, y - tall, x + wide, y), fill=_shaded(base, shade))
    return image


def _render(frame: Frame, backdrop: Image.Image, look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    image = backdrop.copy()
    pen = ImageDraw.Draw(image)
    # Who stands further down stands nearer, and hides the others.
    for place in np.argsort(frame.boxes[:, 3]):
        _person(pen, frame.boxes[place], int(frame.track_ids[place]), look, frame.index)
    blurred = image.filter(ImageFilter.GaussianBlur(look.blur))
    noisy = np.asarray(blurred, dtype=np.float32) + rng.normal(0, look.noise, (frame.height, frame.width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _person(pen: ImageDraw.ImageDraw, box: NDArray[np.float64], track: int, look: Look, time: int) -> None:
    left, top, right, bottom = box.tolist()
    wide, tall, middle = right - left, bottom - top, (left + right) / 2
    clothes = look.clothes[track % len(look.clothes)]
    stride = 0.5 * wide * np.sin(0.6 * time + track)
    hip = top + 0.55 * tall
    for foot in (middle - stride / 2, middle + stride / 2):
        pen.line((middle, hip, foot, bottom), fill=_shaded(clothes, 0.6), width=max(2, int(0.22 * wide)))
    pen.ellipse((left + 0.1 * wide, top + 0.14 * tall, right - 0.1 * wide, hip + 0.06 * tall), fill=clothes)
    head = 0.085 * tall
    pen.ellipse((middle - head, top, middle + head, top + 2 * head), fill=look.skin)


def _shaded(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(min(255, level * factor)) for level in colour)
    return red, green, blue
