"""The image of an annotated frame: where it lies, and that it is the one that was annotated."""

__all__ = ["annotated_image", "find_image"]

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossrt.device.preprocessing import read_image
from lossrt.errors import InputError
from lossrt.targets.annotations import Frame

SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp", ".webp")


def find_image(folder: Path, frame: Frame) -> Path:
    """Return the image of a frame: by the name that the annotations give it, else `img1/000001.jpg`.

    Args:
        folder: The folder that the user gave: of one sequence, of several, or of images.
        frame: The frame.

    Raises:
        InputError: There is none, or its name leads out of the folder.
    """
    if frame.file_name:
        return _named(folder, frame)
    places = (folder / frame.sequence / "img1", folder / "img1", folder / frame.sequence, folder)
    numbered = (place / f"{frame.index:06d}{suffix}" for place in places for suffix in SUFFIXES)
    found = next((path for path in numbered if path.is_file()), None)
    if found is None:
        raise _missing(frame, places[1] / f"{frame.index:06d}.jpg")
    return found


def _named(folder: Path, frame: Frame) -> Path:
    relative = Path(frame.file_name)
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(
            f"{frame.title}: expected a file_name below --frames, got '{relative}'; write it relative to that folder"
        )
    places = (folder / relative, folder / frame.sequence / relative, folder / relative.name)
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise _missing(frame, places[0])
    return found


def _missing(frame: Frame, path: Path) -> InputError:
    return InputError(
        f"{frame.title}: expected its image as '{path}', got no such file; check --frames, or remove the frame from the annotations"
    )


def annotated_image(path: Path, frame: Frame) -> NDArray[np.uint8]:
    """Return [h, w, 3] uint8, red, green, blue: the image of a frame.

    Raises:
        InputError: It is no image, or not of the size that was annotated: every box would be elsewhere.
        BackendError: Pillow is not installed.
    """
    pixels = read_image(path)
    height, width = pixels.shape[:2]
    if (height, width) != (frame.height, frame.width):
        raise InputError(
            f"{frame.title}: expected its image '{path}' to have {frame.width} x {frame.height} px, as its annotations "
            f"say, got {width} x {height}; give the images that were annotated, or annotations of these"
        )
    return pixels
