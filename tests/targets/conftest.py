from pathlib import Path

import numpy as np
import pytest

from lossrt.recipe import Recipe
from lossrt.targets.annotations import Frame
from lossrt.targets.details import Ground, Poses, Spatial

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
    """Builds small recipes, with CenterTrack's MOT heads or those given; keyword arguments replace fields."""

    def make(heads=None, **changes):
        classes = changes.get("classes", 1)
        heads = {"hm": classes, **(HEADS if heads is None else heads)}
        fields = {
            "name": "small",
            "input": (32, 48),
            "classes": classes,
            "max_objs": 8,
            "batch": 2,
            "heads": heads,
            "weights": dict.fromkeys(heads, 1.0),
        }
        return Recipe(**{**fields, **changes})

    return make


@pytest.fixture(scope="session")
def make_frame():
    """Builds frames of 96x64 px, which is 12x8 on a small recipe's map: 8 px to one."""

    def make(boxes=((8.0, 16.0, 40.0, 48.0),), *, classes=None, ids=None, index=1, **details):
        boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        count = len(boxes)
        track_ids = np.arange(1, count + 1) if ids is None else np.array(ids, dtype=np.int64)
        class_ids = np.ones(count, dtype=np.int64) if classes is None else np.array(classes, dtype=np.int64)
        return Frame("street", index, 64, 96, boxes, track_ids, class_ids, **details)

    return make


@pytest.fixture(scope="session")
def make_spatial():
    """Builds the depth annotations of `count` objects, all unknown but those given."""

    def make(count=1, **known):
        nothing = {
            "depths": np.full(count, np.nan),
            "alphas": np.full(count, np.nan),
            "dims": np.full((count, 3), np.nan),
            "amodal_centres": np.full((count, 2), np.nan),
            "attributes": np.zeros(count, dtype=np.int64),
            "velocities": np.full((count, 3), np.nan),
        }
        return Spatial(**{**nothing, **{name: np.array(value) for name, value in known.items()}})

    return make


@pytest.fixture(scope="session")
def make_poses():
    """Builds the poses of one person: joints by number as (x, y, visibility), the others not annotated."""

    def make(**joints):
        points, visibilities = np.full((1, 17, 2), np.nan), np.zeros((1, 17), dtype=np.int64)
        for name, (x, y, visibility) in joints.items():
            points[0, int(name[1:])], visibilities[0, int(name[1:])] = (x, y), visibility
        return Poses(points, visibilities)

    return make


@pytest.fixture(scope="session")
def make_ground():
    """Builds one box on the ground."""

    def make(centre=(0.0, 0.0, -1.0), size=(2.0, 4.0, 1.5), velocity=(3.0, -1.0), heading=0.5):
        return Ground(*(np.array([value], dtype=np.float64) for value in (centre, size, velocity, heading)))

    return make
