"""Draws what a network sees onto its image: boxes with scores, and a line to where each object was."""

__all__ = ["draw"]

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.device.decode import Detection
from lossrt.errors import BackendError

# Okabe and Ito's colours, told apart by colour-blind eyes as well; without black.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
LINE = 640  # px of image width to one px of line


def draw(image: NDArray[np.uint8], detections: Sequence[Detection]) -> NDArray[np.uint8]:
    """Return the image with the detections on it.

    Args:
        image: [h, w, 3] uint8, red, green, blue; it is left as it is.
        detections: Lengths in px of this image (`lossrt.device.decode.detections_in_image`).

    Raises:
        BackendError: Pillow is not installed.
    """
    pillow, tools = _pillow()
    canvas = pillow.fromarray(image)
    pen = tools.Draw(canvas)
    width = max(1, image.shape[1] // LINE)
    for found in detections:
        colour = COLOURS[(found.class_id - 1) % len(COLOURS)]
        left, top, right, bottom = found.box
        if right < left or bottom < top or not np.isfinite(found.box).all():
            continue  # an untrained head gives any numbers
        pen.rectangle((left, top, right, bottom), outline=colour, width=width)
        pen.text((left + 2 * width, top + width), f"{found.class_id} {found.score:.2f}", fill=colour)
        if found.previous is not None and np.isfinite(found.previous).all():
            pen.line((*found.cell, *found.previous), fill=colour, width=width)
    drawn: NDArray[np.uint8] = np.array(canvas)
    return drawn


def _pillow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("PIL.Image"), importlib.import_module("PIL.ImageDraw")
    except ImportError as error:
        raise BackendError(f'images: Pillow is not installed ({error}); run `pip install "lossrt[device]"`') from error
