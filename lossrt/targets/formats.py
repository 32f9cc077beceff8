"""Reads annotations in whichever of the known formats they come."""

__all__ = ["read_annotations"]

from pathlib import Path

from lossrt.errors import InputError
from lossrt.targets.annotations import FrameSequence
from lossrt.targets.coco import read_coco
from lossrt.targets.identities import number_identities
from lossrt.targets.motchallenge import is_motchallenge, read_motchallenge

KNOWN = (
    "a MOTChallenge sequence (a folder with seqinfo.ini and gt/gt.txt), a folder of such sequences, "
    "or a COCO-style file (*.json)"
)


def read_annotations(path: str | Path) -> list[FrameSequence]:
    """Read annotations, detecting their format.

    Args:
        path: A MOTChallenge sequence's folder, a folder that holds several, such as `MOT17/train`, or a JSON file in
            COCO's style.

    Returns:
        The sequences in the order of their folders' names, or of the file; at least one. Their tracks are numbered
        through.

    Raises:
        InputError: There is nothing at `path`, it has no known format, or a file in it is missing or malformed.
        StorageError: A file cannot be read.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"annotations '{place}': expected {KNOWN}, got nothing at this path; check the path")
    if place.is_dir():
        return number_identities(_read_folder(place))
    if place.suffix.lower() == ".json":
        return number_identities(read_coco(place))
    raise InputError(f"annotations '{place}': expected {KNOWN}, got another file; give the folder, or the .json file")


def _read_folder(place: Path) -> list[FrameSequence]:
    if is_motchallenge(place):
        return [read_motchallenge(place)]
    children = sorted(child for child in place.iterdir() if child.is_dir())
    sequences = [child for child in children if is_motchallenge(child)]
    if not sequences:
        got = "an empty folder" if not any(place.iterdir()) else "a folder without one"
        raise InputError(f"annotations '{place}': expected {KNOWN}, got {got}; give the folder that holds seqinfo.ini")
    return [read_motchallenge(child) for child in sequences]
