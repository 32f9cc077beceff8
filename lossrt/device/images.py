"""Where the image of an annotated frame lies."""

__all__ = ["find_image"]

from pathlib import Path

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
