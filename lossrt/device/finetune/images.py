"""Where the image of an annotated frame lies."""

__all__ = ["find_image"]

from pathlib import Path

from lossrt.errors import InputError
from lossrt.targets.annotations import Frame

SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp", ".webp")


def find_image(folder: Path, frame: Frame) -> Path:
    """Return the image of a frame: `img1/000001.jpg`, with the sequence's folder above it or without.

    Args:
        folder: The folder that the user gave: of one sequence, of several, or of images.
        frame: The frame.

    Raises:
        InputError: There is none.
    """
    places = (folder / frame.sequence / "img1", folder / "img1", folder / frame.sequence, folder)
    for place in places:
        for suffix in SUFFIXES:
            path = place / f"{frame.index:06d}{suffix}"
            if path.is_file():
                return path
    raise InputError(
        f"{frame.title}: expected its image as '{places[1] / f'{frame.index:06d}.jpg'}', got no such file; check --frames, or remove the frame from the annotations"
    )
