"""Golden cases that only some heads need: what a street with everything annotated does not show."""

__all__ = ["absent_identity", "far_and_near", "hidden_joints", "joints_off", "one_bin"]

import dataclasses

import numpy as np

from lossrt.export.case_slots import predictions, raw
from lossrt.export.case_source import Arrays, CaseSource, encoded, scene
from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame

OTHER_BIN = slice(4, 8)  # channels of the rotation's second bin
SURE = 20.0  # bias; next to it no other identity counts
EDGE = 12.0  # logit of a depth of 143 km, or of 0.005 mm
LONGEST = 6e4  # m; an activated depth that float16 still holds


def one_bin(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """No object is in the second bin: its residual costs nothing, although the network says NaN for all of it."""
    del rng
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    arrays["rotbin"][..., 0] = arrays["rot_mask"] > 0
    arrays["rotbin"][..., 1] = 0
    arrays["rotres"] *= arrays["rotbin"]
    for name in predictions(recipe, "rot"):
        arrays[name][:, OTHER_BIN][:, 2:] = np.nan
    return arrays


def joints_off(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Half of the people have joints beside the map, some of them all: what is out of the frame is not asked for."""
    pairs = scene(recipe, batch, seed=source.seed)
    return encoded(recipe, [(_push_joints(frame, rng), before) for frame, before in pairs], source.seed)


def hidden_joints(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Every joint is annotated but hidden: none has to be found, so that the joints' heatmap counts no object."""
    del rng
    pairs = scene(recipe, batch, seed=source.seed)
    return encoded(recipe, [(_hide_joints(frame), before) for frame, before in pairs], source.seed)


def far_and_near(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """Logits of ±12 for the depth: 1/(sigmoid + 1e-6) - 1 is past float16's range, or all but 0."""
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    low, high = (-EDGE, EDGE) if raw(recipe, "dep") else (0.0, LONGEST)
    for name in predictions(recipe, "dep"):
        arrays[name] = np.where(rng.random(arrays[name].shape) < 0.5, low, high).astype(np.float32)
    return arrays


def absent_identity(recipe: Recipe, batch: int, source: CaseSource, rng: np.random.Generator) -> Arrays:
    """The classifier is sure of an identity that nobody has; in the last image nobody has any."""
    del rng
    arrays = encoded(recipe, scene(recipe, batch, seed=source.seed), source.seed)
    absent = len(arrays["id_bias"]) - 1
    arrays["ids"][arrays["ids"] == absent] = 0
    if batch > 1:
        arrays["ids"][-1] = -1
    arrays["id_bias"][absent] = SURE
    return arrays


def _push_joints(frame: Frame, rng: np.random.Generator) -> Frame:
    """Move the joints of every second person by up to twice the image, and say that all joints are visible."""
    if frame.poses is None:
        return frame
    count = len(frame.class_ids)
    away = rng.uniform(-2, 2, (count, 1, 2)) * (frame.width, frame.height) * (np.arange(count) % 2)[:, None, None]
    poses = dataclasses.replace(
        frame.poses,
        points=frame.poses.points + away * rng.random((1, frame.poses.points.shape[1], 1)),
        visibilities=np.full_like(frame.poses.visibilities, 2),
    )
    return dataclasses.replace(frame, poses=poses)


def _hide_joints(frame: Frame) -> Frame:
    if frame.poses is None:
        return frame
    hidden = np.ones_like(frame.poses.visibilities)
    return dataclasses.replace(frame, poses=dataclasses.replace(frame.poses, visibilities=hidden))
