"""Made-up traffic seen from above, for networks that look at the ground: boxes that drive around a standing sensor."""

__all__ = ["traffic_from_above"]

import numpy as np
from numpy.random import Generator

from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame, FrameSequence
from lossrt.targets.birds_eye import PILLAR, raster_boxes
from lossrt.targets.details import Ground
from lossrt.targets.scene import ignored_ids, made_up_identities

FRAME_RATE = 2.0  # 1/s, nuScenes' annotated frames
WITHOUT_VELOCITY = 8


def traffic_from_above(
    recipe: Recipe, *, frames: int, seed: int, vehicles: int | None = None, ignored: int = 0
) -> FrameSequence:
    """Generate annotated frames of boxes that drive straight on.

    Half-way through, the first leaves the map on the left, the second comes in from the right, and the third drives
    along the lower border. What has its centre off the map is not annotated. Every eighth has no known velocity. The
    same arguments give the same frames.

    Args:
        recipe: Its input, in pillars, is the map; boxes take its classes at random.
        frames: Number of frames.
        seed: Seed of everything random.
        vehicles: Number of boxes; None for 20, or as many as there are slots if those are fewer.
        ignored: Number of standing boxes to ignore: by turns for every class and for one.

    Returns:
        The frames, 1 to `frames`, with boxes in pillars. Annotations keep their order from frame to frame.

    Raises:
        InputError: A count is negative, or `frames` is 0.
    """
    driving = min(20, recipe.max_objs) if vehicles is None else vehicles
    if frames < 1 or driving < 0 or ignored < 0:
        raise InputError(
            f"scene: expected frames >= 1, vehicles >= 0 and ignored >= 0, got {frames}, {driving} and {ignored}"
        )
    rng = np.random.default_rng(seed)
    count = driving + ignored
    class_ids = np.concatenate([rng.integers(1, recipe.classes + 1, driving), ignored_ids(rng, ignored, recipe)])
    track_ids = np.concatenate([np.arange(1, driving + 1), np.full(ignored, -1)])
    grounds = _drives(rng, frames, driving, ignored, recipe)
    order = rng.permutation(count)
    height, width = recipe.input
    corner = -PILLAR * np.array([width, height]) / 2
    name = f"generated-{seed}"
    whole = [
        Frame(
            sequence=name,
            index=index,
            height=height,
            width=width,
            boxes=(raster_boxes(ground) - np.tile(corner, 2)) / PILLAR,
            track_ids=track_ids,
            class_ids=class_ids,
            identities=made_up_identities(track_ids, recipe),
            ground=ground,
        )
        for index, ground in enumerate(grounds, start=1)
    ]
    outside = [np.any(np.abs(ground.centres[order, :2]) >= -corner, axis=1) for ground in grounds]
    return FrameSequence(
        name=name, frames=tuple(frame.take(order[~gone]) for frame, gone in zip(whole, outside, strict=True))
    )


def _drives(rng: Generator, frames: int, driving: int, ignored: int, recipe: Recipe) -> list[Ground]:
    """Return where the boxes are in each frame; those to ignore come last and stand still."""
    count = driving + ignored
    reach = PILLAR * np.array([recipe.input[1], recipe.input[0]]) / 2
    middles = rng.uniform(-0.97, 0.97, (count, 2)) * reach
    angles = rng.uniform(-np.pi, np.pi, count)
    speeds = rng.uniform(0.5, 12, count)
    sides: tuple[tuple[tuple[float, float], float], ...] = (((-1, 0.3), np.pi), ((1, -0.3), np.pi), ((0.1, -1), 0.0))
    for vehicle, (place, angle) in enumerate(sides[:driving]):
        middles[vehicle], angles[vehicle] = place * reach, angle
    middles[2:3, 1] += 0.5 * PILLAR * recipe.down_ratio  # the middle of the last row
    speeds[driving:] = 0
    velocities = speeds[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    known = velocities.copy()
    known[np.arange(count) % WITHOUT_VELOCITY == WITHOUT_VELOCITY - 1] = np.nan
    sizes = np.stack([rng.uniform(0.5, 2.6, count), rng.uniform(0.5, 10, count), rng.uniform(1, 3.5, count)], axis=1)
    up = rng.normal(-1, 0.5, count)
    times = [(frame - (frames - 1) / 2) / FRAME_RATE for frame in range(frames)]
    return [
        Ground(
            centres=np.concatenate([middles + time * velocities, up[:, None]], axis=1),
            sizes=sizes,
            velocities=known,
            headings=-np.pi / 2 - angles,
        )
        for time in times
    ]
