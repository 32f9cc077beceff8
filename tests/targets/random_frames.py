"""Frames that no camera ever took: everything at random, with all that an annotation may have or lack."""

import numpy as np

from lossrt.recipe import load_recipe, preset_names
from lossrt.targets.annotations import Frame
from lossrt.targets.details import Ground, Poses, Spatial

EVERYTHING = {
    "hm": 3,
    "reg": 2,
    "wh": 4,
    "tracking": 2,
    "ltrb": 4,
    "ltrb_amodal": 4,
    "hps": 34,
    "hm_hp": 17,
    "hp_offset": 2,
    "dep": 1,
    "rot": 8,
    "dim": 3,
    "amodel_offset": 2,
    "nuscenes_att": 8,
    "velocity": 3,
}


def random_case(seed):
    """Return a frame, the one before it or None, and a recipe on a map of a few pixels.

    By turns it is each preset, CenterTrack with all heads at once, and CenterPoint with CenterTrack's boxes.
    """
    rng = np.random.default_rng(seed)
    name = [*preset_names(), "everything", "boxes from above"][seed % (len(preset_names()) + 2)]
    ratio = int(rng.choice([2, 4]))
    changes = {
        "input": (ratio * int(rng.integers(3, 15)), ratio * int(rng.integers(3, 22))),
        "down_ratio": ratio,
        "max_objs": int(rng.integers(1, 13)),
    }
    if name == "everything":
        recipe = load_recipe("mot17", classes=3, heads=EVERYTHING, weights=dict.fromkeys(EVERYTHING, 1.0), **changes)
    elif name == "boxes from above":
        heads = {"hm": 10, "reg": 2, "wh": 2, "tracking": 2, "ltrb": 4, "ltrb_amodal": 4, "anno_box": 10}
        recipe = load_recipe("centerpoint", heads=heads, weights=dict.fromkeys(heads, 1.0), **changes)
    else:
        recipe = load_recipe(name, **changes)
    height, width = (int(side) for side in rng.integers(20, 200, 2))
    classes = recipe.classes
    previous = random_frame(rng, 1, height, width, classes, recipe) if rng.random() < 0.8 else None
    return random_frame(rng, 2, height, width, classes, recipe), previous, recipe


def random_frame(rng, index, height, width, classes, recipe):
    count = int(rng.integers(0, 13))
    corner = rng.uniform(-0.4, 1.1, (count, 2)) * (width, height)
    size = rng.exponential(0.25, (count, 2)) * (width, height)
    boxes = np.concatenate([corner, corner + size], axis=1)
    if rng.random() < 0.4:  # whole pixels put sides and centres onto cell borders
        boxes = np.round(boxes)
    classes_here = np.where(
        rng.random(count) < 0.7, rng.integers(1, classes + 1, count), rng.integers(-classes - 1, classes + 2, count)
    )
    return Frame(
        "random",
        index,
        height,
        width,
        boxes,
        rng.integers(-1, 10, count),
        classes_here,
        crowds=maybe(rng, rng.random(count) < 0.15),
        identities=maybe(rng, np.where(rng.random(count) < 0.3, -1, rng.integers(0, recipe.identities or 5, count))),
        poses=maybe(rng, random_poses(rng, boxes)),
        spatial=maybe(rng, random_spatial(rng, boxes)),
        ground=maybe(rng, random_ground(rng, count, recipe)),
    )


def maybe(rng, value):
    return value if rng.random() < 0.85 else None


def random_poses(rng, boxes):
    count = len(boxes)
    span = boxes[:, None, 2:] - boxes[:, None, :2]
    points = boxes[:, None, :2] + rng.uniform(-0.2, 1.2, (count, 17, 2)) * span
    if rng.random() < 0.4:
        points = np.round(points)
    visibilities = rng.integers(0, 3, (count, 17))
    points[(visibilities == 0) & (rng.random((count, 17)) < 0.5)] = np.nan
    return Poses(points, visibilities)


def random_spatial(rng, boxes):
    count = len(boxes)
    alphas = rng.uniform(-np.pi, np.pi, count)
    velocities = rng.normal(0, 5, (count, 3))
    velocities[rng.random(count) < 0.25] = -10000
    velocities[rng.random(count) < 0.1, int(rng.integers(0, 3))] = np.nan
    return Spatial(
        depths=with_gaps(rng, rng.uniform(1, 60, count)),
        alphas=with_gaps(rng, alphas),
        dims=with_gaps(rng, rng.uniform(0.3, 5, (count, 3))),
        amodal_centres=with_gaps(rng, (boxes[:, :2] + boxes[:, 2:]) / 2 + rng.normal(0, 3, (count, 2))),
        attributes=rng.integers(0, 9, count),
        velocities=velocities,
    )


def random_ground(rng, count, recipe):
    reach = 0.2 * np.array([recipe.input[1], recipe.input[0]]) / 2
    places = rng.uniform(-1.1, 1.1, (count, 2)) * reach
    if rng.random() < 0.3:
        places = np.round(places / 0.4) * 0.4
    sizes = rng.uniform(0.2, 6, (count, 3))
    sizes[rng.random(count) < 0.05, int(rng.integers(0, 3))] = 0
    return Ground(
        centres=with_gaps(rng, np.concatenate([places, rng.normal(0, 1, (count, 1))], axis=1)),
        sizes=with_gaps(rng, sizes),
        velocities=with_gaps(rng, rng.normal(0, 5, (count, 2))),
        headings=with_gaps(rng, rng.uniform(-5, 5, count)),
    )


def with_gaps(rng, values):
    values = values.copy()
    values[rng.random(len(values)) < 0.1] = np.nan
    return values
