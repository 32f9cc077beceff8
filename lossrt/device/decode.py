"""What a network sees: CenterTrack's decoder, from the heads to boxes with scores and where each object was before.

Source: CenterTrack `src/lib/model/decode.py` (`generic_decode`, `_nms`, `_topk`), `src/lib/utils/post_process.py`;
FairMOT `src/lib/models/decode.py` for a `wh` of four sides.
"""

__all__ = ["Detection", "decode", "detections_in_image"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.recipe import Recipe, prediction_name
from lossrt.targets.placement import image_view

Box = tuple[float, float, float, float]
Point = tuple[float, float]
HALF = np.float32(0.5)
FLOATS = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True, slots=True)
class Detection:
    """One object that the network sees. Lengths are px of the output map, or of the image (`detections_in_image`).

    Attributes:
        class_id: Class, from 1, as annotations count them.
        score: Probability of the class at the peak, in [0, 1].
        box: Left, top, right, bottom; `ltrb_amodal` may reach past the picture.
        cell: x and y of the peak, which offsets start from.
        previous: x and y of where the object's centre was in the previous frame; None without a head `tracking`.
    """

    class_id: int
    score: float
    box: Box
    cell: Point
    previous: Point | None


def decode(
    predictions: Mapping[str, NDArray[Any]], recipe: Recipe, *, threshold: float = 0.3, top_k: int = 100
) -> list[list[Detection]]:
    """Decode a batch of predictions.

    A cell is a peak where no neighbour (3×3, in its class) has a higher score. The box comes from `ltrb_amodal`, else
    `ltrb`, else from `wh` around the cell plus `reg` (plus half a px without that head).

    Args:
        predictions: [B, D, H, W] float by wire name, `pred_hm` and so on; heads that a box does not need are ignored. Of
            stacked outputs the last counts, as upstream.
        recipe: Heads, stacks, and whether `hm` is activated already.
        threshold: The lowest score to return.
        top_k: The most detections an image.

    Returns:
        For each image its detections, highest score first; equal scores in the order of class, row and column.

    Raises:
        InputError: `hm` or every head with a box is missing, shapes disagree, an array has no floats, or a number is out
            of range.
    """
    if top_k < 1:
        raise InputError(f"decode: expected top_k of at least 1, got {top_k}")
    if not 0 <= threshold <= 1:
        raise InputError(
            f"decode: expected a threshold in [0, 1], since it is held against probabilities, got {threshold}"
        )
    maps = _maps(predictions, recipe)
    scores = maps["hm"] if recipe.is_applied("hm") else _sigmoid(maps["hm"])
    peaks = (scores == _highest_around(scores)) & (scores >= threshold)
    return [
        _image_detections(scores[image], peaks[image], {head: found[image] for head, found in maps.items()}, top_k)
        for image in range(len(scores))
    ]


def detections_in_image(
    detections: Sequence[Detection], recipe: Recipe, *, image_size: tuple[int, int]
) -> list[Detection]:
    """Return one image's detections with lengths in px of the image instead of the output map.

    Args:
        detections: As `decode` gives them.
        recipe: Map size and family.
        image_size: Height and width of the image, px.

    Raises:
        InputError: The image has no size.
    """
    if min(image_size) < 1:
        raise InputError(f"image_size: expected height and width >= 1 px, got {tuple(image_size)}")
    view = image_view(image_size, recipe, recipe.map_size)

    def back(point: Point) -> Point:
        return (point[0] - view.shift[0]) / view.scale, (point[1] - view.shift[1]) / view.scale

    return [
        replace(
            found,
            box=(*back(found.box[:2]), *back(found.box[2:])),
            cell=back(found.cell),
            previous=None if found.previous is None else back(found.previous),
        )
        for found in detections
    ]


def _maps(predictions: Mapping[str, NDArray[Any]], recipe: Recipe) -> dict[str, NDArray[np.float32]]:
    """Return the last stack's maps that matter here, by head, as float32."""
    wanted = ("hm", "reg", "wh", "ltrb", "ltrb_amodal", "tracking")
    names = {head: prediction_name(head, recipe.num_stacks - 1) for head in wanted if head in recipe.heads}
    arrays = {head: predictions[name] for head, name in names.items() if name in predictions}
    got = ", ".join(sorted(predictions)) or "nothing"
    if "hm" not in arrays:
        raise InputError(f"decode: expected '{prediction_name('hm', recipe.num_stacks - 1)}', got {got}; add it")
    if not arrays.keys() & {"wh", "ltrb", "ltrb_amodal"}:
        raise InputError(f"decode: expected a head with boxes (wh, ltrb or ltrb_amodal), got {got}; add one")
    for head, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.name not in FLOATS:
            kind = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
            raise InputError(
                f"tensor '{names[head]}': expected a numpy array of {' or '.join(FLOATS)}, got {kind}; convert it"
            )
    batch, height, width = (arrays["hm"].shape[axis] if arrays["hm"].ndim == 4 else -1 for axis in (0, 2, 3))
    for head, array in arrays.items():
        if array.shape != (batch, recipe.heads[head], height, width):
            sizes = (
                f"B, {recipe.heads[head]}, H, W" if batch < 0 else f"{batch}, {recipe.heads[head]}, {height}, {width}"
            )
            raise InputError(
                f"tensor '{names[head]}': expected [{sizes}], got {list(array.shape)}; take the recipe of the network"
            )
    return {head: array.astype(np.float32) for head, array in arrays.items()}


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # to inf, and on to the right 0
        probabilities: NDArray[np.float32] = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return probabilities


def _highest_around(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the highest score of the 3×3 cells around each cell, first along rows and then along columns."""
    for axis in (2, 3):
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1)
        padded: NDArray[np.float32] = np.pad(scores, pad, constant_values=-np.inf)
        length = scores.shape[axis]
        shifted = [np.take(padded, range(start, start + length), axis=axis) for start in range(3)]
        scores = np.maximum(np.maximum(shifted[0], shifted[1]), shifted[2])
    return scores


def _image_detections(
    scores: NDArray[np.float32], peaks: NDArray[np.bool_], maps: Mapping[str, NDArray[np.float32]], top_k: int
) -> list[Detection]:
    at = np.flatnonzero(peaks)
    at = at[np.argsort(-scores.reshape(-1)[at], kind="stable")[:top_k]]
    classes, rows, columns = np.unravel_index(at, scores.shape)
    values = {head: found[:, rows, columns].T for head, found in maps.items() if head != "hm"}
    cells = np.stack([columns, rows], axis=1).astype(np.float32)
    boxes = _boxes(cells, values).tolist()
    previous = (cells + values["tracking"]).tolist() if "tracking" in values else None
    return [
        Detection(
            class_id=int(classes[k]) + 1,
            score=float(scores[classes[k], rows[k], columns[k]]),
            box=(boxes[k][0], boxes[k][1], boxes[k][2], boxes[k][3]),
            cell=(float(columns[k]), float(rows[k])),
            previous=None if previous is None else (previous[k][0], previous[k][1]),
        )
        for k in range(len(at))
    ]


def _boxes(cells: NDArray[np.float32], values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return [n, 4] boxes of the peaks at [n, 2] cells."""
    for head in ("ltrb_amodal", "ltrb"):
        if head in values:
            return np.tile(cells, 2) + values[head]
    centres = cells + values.get("reg", HALF)
    size = values["wh"]
    if size.shape[1] == 4:
        return np.concatenate([centres - size[:, :2], centres + size[:, 2:]], axis=1)
    half = np.maximum(size, np.float32(0)) / 2
    return np.concatenate([centres - half, centres + half], axis=1)
