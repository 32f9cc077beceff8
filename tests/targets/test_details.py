import dataclasses

import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.targets.details import take

BOXES = ((0.0, 0.0, 9.0, 9.0), (5.0, 5.0, 20.0, 30.0), (1.0, 2.0, 3.0, 4.0))


def test_a_frame_keeps_what_belongs_to_the_annotations_it_keeps(make_frame, make_spatial):
    frame = make_frame(
        BOXES,
        crowds=np.array([False, True, False]),
        identities=np.array([4, -1, 6]),
        spatial=make_spatial(3, depths=[1.0, 2.0, 3.0]),
    )
    some = frame.take(np.array([2, 0]))
    assert some.boxes.tolist() == [list(BOXES[2]), list(BOXES[0])]
    assert some.track_ids.tolist() == [3, 1]
    assert some.is_crowd.tolist() == [False, False]
    assert some.identities.tolist() == [6, 4]
    assert some.spatial.depths.tolist() == [3.0, 1.0]
    assert some.poses is None
    assert frame.take(np.array([False, True, False])).is_crowd.tolist() == [True]


def test_taking_rows_of_every_kind(make_ground, make_poses):
    assert take(make_ground(), np.array([], dtype=np.int64)).sizes.shape == (0, 3)
    assert take(make_poses(j1=(1, 2, 2)), np.array([0, 0])).points.shape == (2, 17, 2)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"depths": [np.inf]}, r"frame 1 of 'street': spatial\.depths: object 0: expected finite numbers, or NaN"),
        ({"depths": [1.0, 2.0]}, r"spatial\.depths: expected \[1\], got \[2\]"),
        ({"alphas": [1e300]}, r"spatial\.alphas: object 0"),
        ({"dims": [[1.0, -1.0, 2.0]]}, r"spatial\.dims: object 0: expected finite m >= 0, .* got \[1.0, -1.0, 2.0\]"),
        ({"dims": [[1.0, 2.0]]}, r"spatial\.dims: expected \[1, 3\], got \[1, 2\]"),
        ({"attributes": [9]}, r"spatial\.attributes: object 0: expected 0 to 8, got 9"),
        ({"attributes": [-1]}, "expected 0 to 8, got -1"),
        ({"velocities": [[np.inf, 0.0, 0.0]]}, r"spatial\.velocities: object 0"),
    ],
    ids=["inf", "count", "huge", "negative", "columns", "attribute", "negative-attribute", "velocity"],
)
def test_a_frame_refuses_unsound_depth(known, words, make_frame, make_spatial):
    with pytest.raises(InputError, match=words):
        make_frame(spatial=make_spatial(**known))


@pytest.mark.parametrize(
    ("joint", "words"),
    [
        ((1.0, 2.0, 3), r"poses\.visibilities: object 0: expected 0, 1 or 2"),
        ((1.0, np.inf, 2), r"poses\.points: object 0: expected finite numbers"),
        ((1.0, np.nan, 1), r"poses\.points: object 0: expected numbers where the visibility is not 0"),
    ],
    ids=["visibility", "inf", "nan"],
)
def test_a_frame_refuses_unsound_joints(joint, words, make_frame, make_poses):
    with pytest.raises(InputError, match=words):
        make_frame(poses=make_poses(j4=joint))


def test_a_frame_refuses_unsound_ground_and_other_counts(make_frame, make_ground):
    with pytest.raises(InputError, match=r"ground\.sizes: object 0: expected finite m >= 0"):
        make_frame(ground=make_ground(size=(1.0, -2.0, 3.0)))
    for name in ("crowds", "identities"):
        with pytest.raises(InputError, match=rf"{name}: expected \[1\], got \[2\]"):
            make_frame(**{name: np.zeros(2, dtype=np.int64)})


def test_details_do_not_change(make_ground):
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_ground().sizes = np.zeros((1, 3))
