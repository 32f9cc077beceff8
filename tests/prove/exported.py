"""The bundle that a proof runs on: one that is given, or mot17's, exported for it."""

from pathlib import Path

from lossrt.bundle import Bundle, open_bundle


def given_or_exported(path: Path | None, folder: Path) -> Bundle:
    """Open the bundle at `path`; without one, export mot17 into `folder`."""
    if path is not None:
        return open_bundle(path)
    from lossrt.export.bundle_from_recipe import bundle_from_recipe
    from lossrt.export.cases import scene_source
    from lossrt.recipe import load_recipe
    from lossrt.validators.oracle.table import ORACLES

    recipe = load_recipe("mot17")
    return bundle_from_recipe(recipe, folder / "mot17", oracles=ORACLES, source=scene_source(recipe, seed=0))
