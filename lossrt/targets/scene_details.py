"""What a made-up street's people are annotated with beyond their boxes: joints, and their place in depth."""

__all__ = ["FRAME_RATE", "walkers_in_depth", "walkers_joints"]

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lossrt.recipe import JOINTS
from lossrt.targets.details import ATTRIBUTES, Poses, Spatial

FRAME_RATE = 30.0  # 1/s
FOCAL_OF_WIDTH = 0.75  # CenterTrack's default calibration: 1200 px before an image 1600 px wide
GAP = 0.1  # share of the numbers that nobody annotated
NO_VELOCITY = -10000.0  # what CenterTrack's converters and flips write, m/s

# x from the box's middle in widths, y from its top in heights; COCO's order: nose, eyes, ears, then pairs from the
# shoulders down to the ankles, left before right.
JOINT_X = (0, 0.06, -0.06, 0.12, -0.12, 0.3, -0.3, 0.38, -0.38, 0.4, -0.4, 0.18, -0.18, 0.2, -0.2, 0.2, -0.2)
JOINT_Y = (0.08, 0.06, 0.06, 0.08, 0.08, 0.2, 0.2, 0.36, 0.36, 0.5, 0.5, 0.52, 0.52, 0.74, 0.74, 0.96, 0.96)
SWING = (0, 0, 0, 0, 0, 0, 0, 0.08, -0.08, 0.14, -0.14, 0, 0, -0.08, 0.08, -0.14, 0.14)  # of the width, while walking


def walkers_joints(rng: Generator, boxes: NDArray[np.float64], annotated: NDArray[np.bool_]) -> list[Poses]:
    """Make up joints that swing with the steps; some are hidden, some are not annotated, and so are some people.

    Args:
        rng: Everything random.
        boxes: [F, N, 4] boxes in F frames, image px.
        annotated: [N], False for who has no joints at all.

    Returns:
        One set of N poses a frame. A joint of someone who leaves the image leaves it too.
    """
    frames, count, _ = boxes.shape
    steps = 0.4 * np.arange(frames)[:, None] + rng.uniform(0, 2 * np.pi, count)
    x = np.array(JOINT_X) + np.sin(steps)[:, :, None] * np.array(SWING)
    place = np.stack([x, np.broadcast_to(JOINT_Y, x.shape)], axis=-1)
    corner, far_corner = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    points = corner + (place + np.array([0.5, 0])) * (far_corner - corner)
    visibilities = rng.choice([0, 1, 2], (count, JOINTS), p=[0.1, 0.2, 0.7])
    visibilities[~annotated | (rng.random(count) < GAP)] = 0
    return [Poses(frame, visibilities) for frame in points]


def walkers_in_depth(
    rng: Generator, boxes: NDArray[np.float64], annotated: NDArray[np.bool_], size: tuple[int, int]
) -> list[Spatial]:
    """Make up 3D boxes that a pinhole camera sees as the given ones; a tenth of the numbers is unknown.

    Args:
        rng: Everything random.
        boxes: [F, N, 4] boxes in F frames, image px.
        annotated: [N], False for what has no place in depth.
        size: Height and width of the image, px.

    Returns:
        One set of N objects a frame.
    """
    height, width = size
    focal = FOCAL_OF_WIDTH * width
    frames, count, _ = boxes.shape
    dims = np.stack([rng.uniform(1.4, 2, count), rng.uniform(0.4, 2, count), rng.uniform(0.4, 4.5, count)], axis=1)
    facing = rng.uniform(-np.pi, np.pi, count)
    middles = (boxes[:, :, :2] + boxes[:, :, 2:]) / 2
    depths = focal * dims[:, 0] / (boxes[:, :, 3] - boxes[:, :, 1])
    angles = facing - np.arctan2(middles[:, :, 0] - width / 2, focal)
    alphas = (angles + np.pi) % (2 * np.pi) - np.pi
    amodal = middles + rng.normal(0, 0.01 * height, (count, 2))
    right = (middles[:, :, 0] - width / 2) * depths / focal
    pace = np.gradient(right, axis=0) * FRAME_RATE if frames > 1 else np.zeros_like(right)
    velocities = np.stack([pace, np.zeros_like(pace), np.broadcast_to(rng.normal(0, 0.3, count), pace.shape)], axis=-1)
    attributes = np.where(annotated, rng.integers(0, ATTRIBUTES + 1, count), 0)
    velocities[:, rng.random(count) < GAP] = NO_VELOCITY
    for values in (depths, alphas, dims[None], amodal, velocities):
        values[:, ~annotated | (rng.random(count) < GAP)] = np.nan
    return [
        Spatial(depths[index], alphas[index], dims, amodal[index], attributes, velocities[index])
        for index in range(frames)
    ]
