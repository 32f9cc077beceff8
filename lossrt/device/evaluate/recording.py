"""Recorded heads: which file holds which frame, checked before the first one is read."""

__all__ = ["Recording", "head_layouts", "open_recording", "parameters_from"]

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.device.evaluate.image_file import ImageFile, open_image_file
from lossrt.device.evaluate.plan import PlannedFrame
from lossrt.device.evaluate.stamp import stamp
from lossrt.errors import InputError
from lossrt.recipe import HEADS, Recipe, prediction_name
from lossrt.spec import GraphSpec, resolved_shape

SUFFIXES = (".safetensors", ".npz")
FRAME = "frame"
FLOATS = ("float32", "float16", "bfloat16")
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a frame's heads lie: image `image` of the `images` in a file."""

    path: Path
    image: int
    images: int


def head_layouts(spec: GraphSpec) -> dict[str, tuple[int, ...]]:
    """Return the shape [D, H, W] of every prediction that a graph takes, by wire name."""
    return {
        tensor.name: resolved_shape(tensor.dims, spec.sizes)[1:]
        for tensor in spec.inputs
        if tensor.role == "prediction"
    }


class Recording:
    """Heads of planned frames, in their order; `open_recording` makes it.

    Args:
        shapes: [D, H, W] by prediction.
        places: One a frame.
        probabilities: Predictions that the network has activated, whose values lie in [0, 1].
    """

    def __init__(self, shapes: Shapes, places: Sequence[_Place], probabilities: Collection[str] = ()) -> None:
        self._shapes, self._places, self._probabilities = shapes, places, probabilities

    @property
    def identity(self) -> dict[str, str]:
        """What tells this recording from another: names, sizes and times of its files, and which frame lies where."""
        digest = hashlib.sha256()
        known: Path | None = None
        for place in self._places:
            if place.path != known:
                digest.update(f"{stamp(place.path)}\n".encode())
                known = place.path
            digest.update(f"{place.image}/{place.images}\n".encode())
        return {"heads": f"recorded, {digest.hexdigest()[:16]}"}

    def images(self, start: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the heads of each frame from number `start` on: [1, D, H, W] by wire name, in the recorded type.

        Raises:
            InputError: A file was changed or cut off since it was looked at.
            StorageError: A file cannot be read.
        """
        opened: tuple[Path, ImageFile] | None = None
        try:
            for place in self._places[start:]:
                if opened is None or opened[0] != place.path:
                    if opened is not None:
                        opened[1].__exit__(None, None, None)
                    opened = place.path, open_image_file(place.path, what="heads", names=self._shapes)
                    _check_heads(place.path, opened[1], self._shapes)
                heads = {
                    name: opened[1].part(name, place.image, place.images).reshape(1, *shape)
                    for name, shape in self._shapes.items()
                }
                for name in self._probabilities:
                    _check_probabilities(place, name, heads[name])
                yield heads
        finally:
            if opened is not None:
                opened[1].__exit__(None, None, None)


def open_recording(
    place: Path, planned: Sequence[PlannedFrame], spec: GraphSpec, recipe: Recipe, *, partial: bool = False
) -> Recording:
    """Find the heads of the planned frames.

    Args:
        place: A folder with files `<anything><number>.safetensors` or `.npz`, each named after its first frame and
            holding `pred_<head>` [D, H, W] or [B, D, H, W] for B frames in a row; with several sequences, one such
            folder for each, by its name. Or one file with all planned frames. An array `frame` [B] may number them.
        planned: The frames.
        spec: The graph that they are for.
        recipe: Which heads the network has activated.
        partial: Frames were chosen: others may lie there as well.

    Raises:
        InputError: Frames are missing, come twice or in the wrong order, or are not annotated; a file lacks a head, or
            a head has another shape or type.
        StorageError: A file cannot be read.
    """
    if not place.exists():
        raise InputError(
            f"heads '{place}': expected a folder or a file with recorded heads, got nothing; check the path"
        )
    shapes = head_layouts(spec)
    activated = {
        prediction_name(head, stack)
        for stack in range(recipe.num_stacks)
        for head in recipe.active_heads
        if recipe.is_applied(head) and HEADS[head].loss == "fast_focal"
    }
    if place.is_file():
        return Recording(shapes, _places_in_file(place, planned, shapes), activated & shapes.keys())
    sequences = list(dict.fromkeys(frame.key[0] for frame in planned))
    places: list[_Place] = []
    for sequence in sequences:
        folder = place if len(sequences) == 1 else place / sequence
        if not folder.is_dir():
            raise InputError(f"heads '{place}': expected a folder '{sequence}' in it, one for each annotated sequence")
        wanted = [frame.key[1] for frame in planned if frame.key[0] == sequence]
        places += _matched(folder, sequence, _numbered(folder, shapes), wanted, partial=partial)
    return Recording(shapes, places, activated & shapes.keys())


def _places_in_file(path: Path, planned: Sequence[PlannedFrame], shapes: Shapes) -> list[_Place]:
    images, numbers = _look_at(path, shapes)
    wanted = [frame.key[1] for frame in planned]
    if numbers is not None and numbers != wanted:
        at = next(
            (k for k, (got, want) in enumerate(zip(numbers, wanted, strict=False)) if got != want),
            min(images, len(wanted)),
        )
        got, want = (str(rows[at]) if at < len(rows) else "none" for rows in (numbers, wanted))
        raise InputError(
            f"heads '{path}': '{FRAME}'[{at}]: expected the annotated frame {want}, got {got}; record them in order, or "
            "choose frames with --only"
        )
    if images != len(wanted):
        raise InputError(
            f"heads '{path}': expected {len(wanted)} images, one for each annotated frame, got {images}; record the "
            "others, or choose frames with --only"
        )
    return [_Place(path, image, images) for image in range(images)]


def _numbered(folder: Path, shapes: Shapes) -> dict[int, _Place]:
    """Return the places of all frames in a folder, by number, growing."""
    files = sorted((_number(path), path) for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if not files:
        raise InputError(f"heads '{folder}': expected files named <number>{' or '.join(SUFFIXES)}, got none")
    places: dict[int, _Place] = {}
    last: tuple[int, Path] | None = None
    for first, path in files:
        images, numbers = _look_at(path, shapes)
        numbers = list(range(first, first + images)) if numbers is None else numbers
        if numbers[0] != first:
            raise InputError(
                f"heads '{path}': '{FRAME}'[0]: expected {first}, after the file's name, got {numbers[0]}; rename it"
            )
        for image, number in enumerate(numbers):
            if last is not None and number <= last[0]:
                raise InputError(
                    f"heads '{path}': frame {number}: expected one after {last[0]}, which lies in '{last[1].name}'; name "
                    "each file after its first frame, and give each frame once, in order"
                )
            places[number], last = _Place(path, image, images), (number, path)
    return places


def _number(path: Path) -> int:
    found = re.findall(r"\d+", path.stem)
    if not found:
        raise InputError(
            f"heads '{path}': expected a frame's number in the file's name; rename it, such as 000001{path.suffix}"
        )
    return int(found[-1])


def _matched(
    folder: Path, sequence: str, places: Mapping[int, _Place], wanted: Sequence[int], *, partial: bool
) -> list[_Place]:
    known = set(wanted)
    if missing := [number for number in wanted if number not in places]:
        raise InputError(
            f"heads '{folder}': frame {_ranges(missing)} of '{sequence}': annotated, but not recorded; record them, or "
            "choose frames with --only"
        )
    if not partial and (others := [number for number in places if number not in known]):
        raise InputError(
            f"heads '{places[others[0]].path}': frame {_ranges(others)}: not annotated in '{sequence}', which has "
            f"{wanted[0]} to {wanted[-1]}; give the annotations of these heads, or choose frames with --only"
        )
    return [places[number] for number in wanted]


def _ranges(numbers: Sequence[int]) -> str:
    """Return `3, 7 to 9` for 3, 7, 8, 9; the first few where there are many."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    parts = [str(first) if first == last else f"{first} to {last}" for first, last in runs]
    return ", ".join(parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")


def _look_at(path: Path, shapes: Shapes) -> tuple[int, list[int] | None]:
    """Return how many images a file holds, and their numbers where it has some."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"heads '{path}': expected {' or '.join(SUFFIXES)}, got another file; convert it")
    with open_image_file(path, what="heads", names={*shapes, FRAME}) as file:
        images = _check_heads(path, file, shapes)
        if FRAME not in file.layouts:
            return images, None
        layout = file.layouts[FRAME]
        if layout.dtype.kind not in "iu" or layout.shape not in {(images,), ()} or (not layout.shape and images != 1):
            raise InputError(f"heads '{path}': '{FRAME}': expected whole numbers [{images}], got {layout}; correct it")
        return images, [int(number) for number in file.part(FRAME, 0, 1)]


def _check_heads(path: Path, file: ImageFile, shapes: Shapes) -> int:
    """Return how many images a file holds."""
    images: int | None = None
    for name, shape in shapes.items():
        if name not in file.layouts:
            missing = ", ".join(sorted(set(shapes) - file.layouts.keys()))
            raise InputError(f"heads '{path}': tensor '{name}': missing; expected {missing} as well; record every head")
        layout = file.layouts[name]
        batch = layout.shape[0] if len(layout.shape) == len(shape) + 1 else 1
        images = batch if images is None else images
        expected = f"float32[{images or 'B'}, {', '.join(str(side) for side in shape)}]"
        if layout.shape[-len(shape) :] != shape or len(layout.shape) > len(shape) + 1 or batch != images or not batch:
            raise InputError(
                f"heads '{path}': tensor '{name}': expected {expected}, got {layout}; record the network that this "
                "bundle was exported for, or export one with its sizes"
            )
        if layout.dtype.name not in FLOATS or not layout.dtype.isnative:
            order = "" if layout.dtype.isnative else " of the other byte order"
            raise InputError(
                f"heads '{path}': tensor '{name}': expected {', '.join(FLOATS)}, got {layout}{order}; convert it"
            )
    if images is None:
        raise InputError(f"heads '{path}': the graph takes no prediction; choose another graph")
    return images


def _check_probabilities(place: _Place, name: str, values: NDArray[Any]) -> None:
    bad = (values < 0) | (values > 1)  # NaN is flagged, not refused
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0][1:])
        raise InputError(
            f"heads '{place.path}': tensor '{name}', image {place.image}: expected values in [0, 1], since the recipe says "
            f"that it is activated, got {values[0][index]} at {index}; record activated values, or export with raw"
        )


def parameters_from(path: Path, spec: GraphSpec) -> dict[str, NDArray[Any]]:
    """Read the learned parameters that a graph takes beside predictions and targets, such as FairMOT's.

    Raises:
        InputError: The file lacks one, or one has another shape or type.
        StorageError: It cannot be read.
    """
    parameters = {t.name: resolved_shape(t.dims, spec.sizes) for t in spec.inputs if t.role == "parameter"}
    with open_image_file(path, what="parameters", names=parameters) as file:
        arrays = {}
        for name, shape in parameters.items():
            layout = file.layouts.get(name)
            if layout is None or layout.shape != shape or layout.dtype != np.float32:
                raise InputError(
                    f"parameters '{path}': tensor '{name}': expected float32{list(shape)}, got {layout or 'none'}; save the "
                    "trained model's"
                )
            arrays[name] = file.part(name, 0, 1).reshape(shape)
    return arrays
