"""Finds how large an image is from the first bytes of its file, without decoding it."""

__all__ = ["ImageFolder", "image_size"]

import struct
from pathlib import Path
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's markers that carry the size
WITHOUT_LENGTH = frozenset(range(0xD0, 0xD8)) | {0x01}
DEPTH = 3  # folders between the one that is searched and the image; KITTI's tracking images lie that deep


class ImageFolder:
    """Looks up images by the relative names that an annotation file gives them.

    CenterTrack keeps `annotations/FILE.json` beside the folders of the images, up to three deep, and leaves the size to
    whoever opens the image. What was found for one image is where the next is looked for first.
    """

    def __init__(self, annotations: Path) -> None:
        place = annotations.absolute().parent
        self._roots = [place, place.parent] if place.name == "annotations" else [place]
        self._found = place

    def size(self, name: str) -> tuple[int, int] | None:
        """Return height and width of an image, px; None where there is none of that name, or it is no PNG or JPEG."""
        relative = Path(name)
        if relative.is_absolute() or ".." in relative.parts:
            return None
        path = self._find(relative)
        return None if path is None else image_size(path)

    def _find(self, relative: Path) -> Path | None:
        if (self._found / relative).is_file():
            return self._found / relative
        for depth in range(DEPTH + 1):
            for root in self._roots:
                folders = root.glob("/".join("*" * depth)) if depth else [root]
                for folder in folders:
                    if (folder / relative).is_file():
                        self._found = folder
                        return folder / relative
        return None


def image_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of a PNG or JPEG file, px; None for anything else, and for a file that is cut short."""
    try:
        with path.open("rb") as file:
            start = file.read(24)
            if start.startswith(PNG) and len(start) == 24:
                width, height = struct.unpack(">II", start[16:])
                return height, width
            if start.startswith(JPEG):
                file.seek(2)
                return _jpeg_size(file)
    except (OSError, struct.error):
        pass
    return None


def _jpeg_size(file: BinaryIO) -> tuple[int, int] | None:
    """Walk from segment to segment until one says the size (ITU-T T.81, annex B)."""
    while True:
        if file.read(1) != b"\xff":
            return None
        marker = file.read(1)
        while marker == b"\xff":  # padding
            marker = file.read(1)
        if not marker:
            return None
        if marker[0] in WITHOUT_LENGTH:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker[0] in FRAME_HEADERS:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return height, width
        file.seek(length - 2, 1)
