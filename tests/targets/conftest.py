from pathlib import Path

import pytest

from lossrt.recipe import Recipe

HEADS = {"reg": 2, "wh": 2, "tracking": 2, "ltrb_amodal": 4}


@pytest.fixture(scope="session")
def mot17_02():
    """The real sequence's folder."""
    place = Path(__file__).resolve().parents[3] / "shared" / "data" / "MOT17-02-FRCNN"
    if not place.is_dir():
        pytest.skip("the MOT17-02 sample is not beside the repository (../shared/data)")
    return place


@pytest.fixture(scope="session")
def make_recipe():
    """Builds small recipes with all heads; keyword arguments replace fields."""

    def make(**changes):
        classes = changes.get("classes", 1)
        fields = {
            "name": "small",
            "input": (32, 48),
            "classes": classes,
            "max_objs": 8,
            "batch": 2,
            "heads": {"hm": classes, **HEADS},
            "weights": dict.fromkeys(("hm", *HEADS), 1.0),
        }
        return Recipe(**{**fields, **changes})

    return make
