"""What tests of several packages share: a small recipe, and its bundle, exported once."""

import pytest
from hypothesis import settings

from lossrt.bundle import Bundle
from lossrt.recipe import Recipe, load_recipe

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """mot17 on a 34x60 map, with 32 slots and 3 images, and no training step: one takes half a minute to export."""
    return load_recipe("mot17", input=(136, 240), max_objs=32, batch=3, finetune=None)


@pytest.fixture(scope="session")
def small_bundle(small_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Every graph of the small recipe with its golden cases, batch open, for ONNX Runtime; not to be written to."""
    pytest.importorskip("torch", reason="exporting needs PyTorch")
    from lossrt.export.bundle_from_recipe import bundle_from_recipe
    from lossrt.export.cases import scene_source
    from lossrt.validators.oracle.table import ORACLES

    place = tmp_path_factory.mktemp("bundle") / "small"
    return bundle_from_recipe(small_recipe, place, oracles=ORACLES, source=scene_source(small_recipe, seed=0))
