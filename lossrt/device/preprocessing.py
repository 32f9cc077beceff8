"""What a network of CenterTrack's kind is fed: the image, the one before it, and a heatmap of what was there.

Source: CenterTrack `src/lib/detector.py` (`pre_process`, `_get_additional_inputs`), `src/lib/dataset/generic_dataset.py`
(`_get_input`, `_get_pre_dets`, `mean`, `std`) and `src/lib/utils/image.py` (`get_affine_transform`).
"""

__all__ = [
    "MEAN_BGR",
    "STD_BGR",
    "NetworkPorts",
    "frame_feeds",
    "network_heatmap",
    "network_image",
    "network_ports",
    "read_image",
]

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossrt.device.network_ports import NetworkPorts, frame_feeds, network_ports
from lossrt.errors import BackendError, InputError
from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame
from lossrt.targets.gaussian import draw_peak, gaussian_radius
from lossrt.targets.placement import image_view, map_view, previous_boxes

MEAN_BGR = (0.40789654, 0.44719302, 0.47026115)
"""Mean of the training images, of blue, green and red in [0, 1]."""
STD_BGR = (0.28863828, 0.27408164, 0.27809835)
"""Standard deviation, likewise."""
FAMILIES = ("centertrack", "centernet")


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image.

    Args:
        path: A file of any format that Pillow knows.

    Returns:
        [h, w, 3], red, green, blue; gray is repeated, transparency and EXIF's orientation are ignored, as upstream's
        reader does not turn what it reads for boxes that were annotated unturned.

    Raises:
        InputError: It is missing, or no image.
        BackendError: Pillow is not installed.
    """
    image = _pillow()
    try:
        with image.open(path) as opened:
            pixels: NDArray[np.uint8] = np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, image.DecompressionBombError) as error:
        raise InputError(
            f"image '{path}': expected a readable PNG or JPEG, got: {error}; check the path, or copy the file again"
        ) from error
    return pixels


def network_image(image: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.float32]:
    """Warp an image onto the network's input and normalize it.

    The affine is the encoder's own (`lossrt.targets.placement.image_view`): the longer side fits the input's width, and
    what the image leaves free is black. Whole coordinates are middles of pixels on both sides, as in upstream's
    `cv2.warpAffine`: the input's pixel x shows the image at (x − shift)/scale. Pillow counts from the pixels' corners, so
    its affine gets half a pixel on either side. Levels are rounded to whole ones, as upstream's are; upstream interpolates
    in steps of 1/32 px, and blends into black within a pixel of the image's border, which moves a level by a few there.

    Args:
        image: [h, w, 3] uint8, red, green, blue.
        recipe: Input size and family.

    Returns:
        [3, H_in, W_in] float32: blue, green, red, each less its mean and over its standard deviation.

    Raises:
        InputError: The array is no such image, or the recipe's family is fed otherwise.
        BackendError: Pillow is not installed.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        shape = ", ".join(str(size) for size in image.shape)
        raise InputError(
            f"image: expected uint8[h, w, 3], red, green and blue, got {image.dtype.name}[{shape}]; fix the caller"
        )
    if recipe.family not in FAMILIES:
        raise InputError(
            f"recipe '{recipe.name}': expected a family whose pre-processing is known ({', '.join(FAMILIES)}), got "
            f"'{recipe.family}'; run the network yourself and give its outputs with --heads"
        )
    levels = _warp(image[:, :, ::-1], recipe)
    mean, std = (np.array(values, dtype=np.float32)[:, None, None] for values in (MEAN_BGR, STD_BGR))
    normalized: NDArray[np.float32] = (levels / np.float32(255) - mean) / std
    return normalized


def network_heatmap(previous: Frame | None, recipe: Recipe) -> NDArray[np.float32]:
    """Render where the previous frame's annotations say that objects were, without upstream's training noise.

    Args:
        previous: The frame before; None for a first frame.
        recipe: Input size and classes.

    Returns:
        [1, H_in, W_in] float32 in [0, 1]: one peak an object, of any class, exactly 1 at its middle; zeros for a first frame.
    """
    heatmap = np.zeros((1, *recipe.input), dtype=np.float32)
    if previous is None:
        return heatmap
    boxes, counted = previous_boxes(previous, map_view(previous, recipe, recipe.input), recipe)
    boxes = boxes[counted]
    middles = ((boxes[:, :2] + boxes[:, 2:]) / np.float32(2)).astype(np.int64)
    radii = gaussian_radius(boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0])
    for (column, row), radius in zip(middles.tolist(), radii.tolist(), strict=True):
        draw_peak(heatmap[0], column, row, radius)
    return heatmap


def _warp(channels: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.float32]:
    """Return [3, H_in, W_in] whole levels as float32; [h, w, 3] in. Through float32, since Pillow cuts whole levels off."""
    image = _pillow()
    height, width = recipe.input
    view = image_view((channels.shape[0], channels.shape[1]), recipe, recipe.input)
    step = 1 / view.scale
    x, y = (0.5 - step / 2 - shift * step for shift in view.shift)
    warped = [
        image.fromarray(np.ascontiguousarray(channels[:, :, channel], dtype=np.float32)).transform(
            (width, height), image.Transform.AFFINE, (step, 0, x, 0, step, y), image.Resampling.BILINEAR
        )
        for channel in range(3)
    ]
    levels: NDArray[np.float32] = np.rint(np.stack([np.asarray(one) for one in warped]))
    return levels


def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise BackendError(f'images: Pillow is not installed ({error}); run `pip install "lossrt[device]"`') from error
