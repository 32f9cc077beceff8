"""Reads annotations in whichever of the known formats they come."""

__all__ = ["read_annotations"]

from pathlib import Path

from lossrt.errors import InputError
from lossrt.targets.annotations import FrameSequence
from lossrt.targets.motchallenge import is_motchallenge, read_motchallenge

KNOWN = "a MOTChallenge sequence (a folder with seqinfo.ini and gt/gt.txt), or a folder of such sequences"


def read_annotations(path: str | Path) -> list[FrameSequence]:
    """Read annotations, detecting their format.

    Args:
        path: A MOTChallenge sequence's folder, or a folder that holds several, such as `MOT17/train`.

    Returns:
        The sequences in the order of their folders' names; at least one.

    Raises:
        InputError: There is nothing at `path`, it has no known format, or a file in it is missing or malformed.
        StorageError: A file cannot be read.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f"annotations '{place}': expected {KNOWN}, got nothing at this path; check the path")
    if not place.is_dir():
        raise InputError(f"annotations '{place}': expected {KNOWN}, got a file; give the folder")
    if is_motchallenge(place):
        return [read_motchallenge(place)]
    children = sorted(child for child in place.iterdir() if child.is_dir())
    sequences = [child for child in children if is_motchallenge(child)]
    if not sequences:
        got = "an empty folder" if not any(place.iterdir()) else "a folder without one"
        raise InputError(f"annotations '{place}': expected {KNOWN}, got {got}; give the folder that holds seqinfo.ini")
    return [read_motchallenge(child) for child in sequences]
