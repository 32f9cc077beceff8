"""The made-up scene that fits a recipe, so that every head of it has something to learn."""

__all__ = ["generated_scene"]

from lossrt.recipe import Recipe
from lossrt.targets.annotations import FrameSequence
from lossrt.targets.scene import walking_pedestrians
from lossrt.targets.scene_from_above import traffic_from_above


def generated_scene(
    recipe: Recipe, *, frames: int, seed: int, objects: int | None = None, ignored: int = 0
) -> FrameSequence:
    """Generate annotated frames: a street with people, or traffic from above where the network looks at the ground.

    Args:
        recipe: Its input size, classes, slots, and family.
        frames: Number of frames.
        seed: Seed of everything random; the same arguments give the same frames.
        objects: Number of objects; None for 20, or as many as there are slots if those are fewer.
        ignored: Number of regions to ignore.

    Raises:
        InputError: A count is negative, or `frames` is 0.
    """
    if recipe.family == "centerpoint":
        return traffic_from_above(recipe, frames=frames, seed=seed, vehicles=objects, ignored=ignored)
    return walking_pedestrians(recipe, frames=frames, seed=seed, pedestrians=objects, ignored=ignored)
