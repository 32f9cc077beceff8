"""A made-up street, so that a machine without data has annotations: people who walk past a fixed camera."""

__all__ = ["ignored_ids", "made_up_identities", "walking_pedestrians"]

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lossrt.errors import InputError
from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame, FrameSequence
from lossrt.targets.scene_details import walkers_in_depth, walkers_joints

MAP_TO_IMAGE = 2  # a full-HD camera before a 544x960 network
HORIZON = 0.4  # of the image's height; people shrink towards it
WIDTH_OF_HEIGHT = 0.41  # of a walking person's box
UNNAMED = 7
STRIDE = 0.027  # body heights a frame: 1.4 m/s at 30 frames a second and 1.7 m


def walking_pedestrians(
    recipe: Recipe, *, frames: int, seed: int, pedestrians: int | None = None, ignored: int = 0
) -> FrameSequence:
    """Generate annotated frames of people who walk sideways at depths of their own.

    Half-way through, the first person walks out of the left side and the second in from the right; the third steps
    along the left border. Someone wholly outside the image is not annotated. People have joints, a 3D box and an
    identity, but now and then one that nobody annotated. The same arguments give the same frames.

    Args:
        recipe: Its input, twice as large, is the image; people take its classes at random.
        frames: Number of frames.
        seed: Seed of everything random.
        pedestrians: Number of people; None for 20, or as many as there are slots if those are fewer.
        ignored: Number of regions to ignore: by turns for every class and for one.

    Returns:
        The frames, 1 to `frames`. Annotations keep their order from frame to frame, regions among people.

    Raises:
        InputError: A count is negative, or `frames` is 0.
    """
    people = min(20, recipe.max_objs) if pedestrians is None else pedestrians
    if frames < 1 or people < 0 or ignored < 0:
        raise InputError(
            f"scene: expected frames >= 1, pedestrians >= 0 and ignored >= 0, got {frames}, {people} and {ignored}"
        )
    rng = np.random.default_rng(seed)
    height, width = recipe.input[0] * MAP_TO_IMAGE, recipe.input[1] * MAP_TO_IMAGE
    walks = _walks(rng, people, frames, height, width)
    regions = np.broadcast_to(_regions(rng, ignored, height, width), (frames, ignored, 4))
    class_ids = np.concatenate([rng.integers(1, recipe.classes + 1, people), ignored_ids(rng, ignored, recipe)])
    track_ids = np.concatenate([np.arange(1, people + 1), np.full(ignored, -1)])
    order = rng.permutation(people + ignored)
    boxes = np.concatenate([walks, regions], axis=1)[:, order]
    class_ids, track_ids = class_ids[order], track_ids[order]
    details = np.random.default_rng([seed, 1])  # of its own, so that the boxes do not depend on what else is made up
    poses = walkers_joints(details, boxes, class_ids > 0)
    spatial = walkers_in_depth(details, boxes, class_ids > 0, (height, width))
    name = f"generated-{seed}"
    whole = [
        Frame(
            sequence=name,
            index=index + 1,
            height=height,
            width=width,
            boxes=boxes[index],
            track_ids=track_ids,
            class_ids=class_ids,
            identities=made_up_identities(track_ids, recipe),
            poses=poses[index],
            spatial=spatial[index],
        )
        for index in range(frames)
    ]
    return FrameSequence(name=name, frames=tuple(frame.take(_in_image(frame)) for frame in whole))


def made_up_identities(track_ids: NDArray[np.int64], recipe: Recipe) -> NDArray[np.int64]:
    """Number tracks 1, 2, … as identities 0, 1, …; every seventh has none, and nor have those that the recipe lacks."""
    known = (track_ids >= 1) & (track_ids % UNNAMED != 0)
    within = track_ids <= (recipe.identities or len(track_ids))
    return np.where(known & within, track_ids - 1, -1)


def ignored_ids(rng: Generator, ignored: int, recipe: Recipe) -> NDArray[np.int64]:
    """Return the class ids of regions to ignore: by turns for every class and for one at random."""
    one_class = -rng.integers(1, recipe.classes + 1, ignored)
    return np.where(np.arange(ignored) % 2 == 0, 0, one_class)


def _walks(rng: Generator, people: int, frames: int, height: int, width: int) -> NDArray[np.float64]:
    """Return [frames, people, 4] boxes, image px."""
    feet = height * rng.uniform(HORIZON + 0.05, 1.02, people)
    tall = (feet - HORIZON * height) * rng.uniform(0.75, 0.95, people)
    wide = WIDTH_OF_HEIGHT * tall * rng.uniform(0.8, 1.2, people)
    pace = STRIDE * tall * rng.uniform(0.6, 1.3, people)
    towards = rng.choice([-1.0, 1.0], people)
    middle = rng.uniform(-0.03, 1.03, people) * width
    # Each of the first three has its side, or middle, on the image's border half-way through.
    for person, (place, direction) in enumerate(((-wide / 2, -1.0), (width + wide / 2, -1.0), (0 * wide, 0.1))):
        if person < people:
            middle[person], towards[person] = place[person], direction
    time = np.arange(frames)[:, None] - (frames - 1) / 2
    x = middle + towards * pace * time
    sway = 0.01 * tall * np.sin(0.4 * time + rng.uniform(0, 2 * np.pi, people))
    bottom = feet + sway
    return np.stack([x - wide / 2, bottom - tall, x + wide / 2, bottom], axis=-1)


def _regions(rng: Generator, ignored: int, height: int, width: int) -> NDArray[np.float64]:
    corner = rng.uniform(0, 0.9, (ignored, 2))
    size = rng.uniform(0.03, 0.2, (ignored, 2))
    boxes: NDArray[np.float64] = np.concatenate([corner, corner + size], axis=1) * np.tile([width, height], 2)
    return boxes


def _in_image(frame: Frame) -> NDArray[np.bool_]:
    left, top, right, bottom = frame.boxes.T
    sliver = 1e-6 * frame.width  # less is rounding
    seen: NDArray[np.bool_] = (
        (right > sliver) & (left < frame.width - sliver) & (bottom > sliver) & (top < frame.height - sliver)
    )
    return seen
