"""The two scenes of the demo: the same kind of street on another day, before another camera."""

__all__ = ["SCENES", "make_scene"]

from pathlib import Path

from examples.rendering import Look, write_scene
from lossrt.recipe import Recipe
from lossrt.targets.scenes import generated_scene

SCENES = {
    "scene_a": Look(
        sky=(120, 150, 190),
        ground=(110, 110, 105),
        clothes=((150, 40, 40), (40, 60, 140), (40, 110, 60), (200, 190, 60), (40, 40, 45)),
        skin=(220, 180, 150),
        noise=4,
        blur=1.0,
    ),
    "scene_b": Look(
        sky=(225, 205, 180),
        ground=(185, 165, 140),
        clothes=((230, 230, 235), (245, 150, 60), (120, 200, 220), (90, 70, 60), (215, 90, 150)),
        skin=(150, 105, 80),
        noise=9,
        blur=1.8,
    ),
}
FRAMES = 24
PEOPLE = 14


def make_scene(name: str, recipe: Recipe, folder: Path) -> None:
    """Write a scene's images and annotations, in MOTChallenge's layout.

    Args:
        name: One of `SCENES`.
        recipe: Its input, twice as large, is the image.
        folder: Where to write.
    """
    seed = list(SCENES).index(name) + 1
    write_scene(generated_scene(recipe, frames=FRAMES, seed=seed, objects=PEOPLE), folder, look=SCENES[name], seed=seed)
