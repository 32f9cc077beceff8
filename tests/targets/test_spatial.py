import numpy as np
import pytest

from lossrt.targets.encode import encode_frame

HEADS = {"dep": 1, "rot": 8, "dim": 3, "amodel_offset": 2, "nuscenes_att": 8, "velocity": 3}


@pytest.fixture
def encode(make_recipe, make_frame, make_spatial):
    def run(**known):
        return encode_frame(make_frame(spatial=make_spatial(**known)), None, make_recipe(HEADS)).arrays

    return run


def test_what_is_known_is_taken_over(encode):
    """The amodal centre (26, 4) px is (3.25, 0.5) on the map; the object's cell is (3, 4)."""
    arrays = encode(depths=[7.5], dims=[[1.5, 0.5, 4.0]], amodal_centres=[[26.0, 4.0]], velocities=[[1.0, 0.0, -2.0]])
    assert arrays["dep"][0].tolist() == [7.5]
    assert arrays["dim"][0].tolist() == [1.5, 0.5, 4.0]
    assert arrays["amodel_offset"][0].tolist() == [0.25, -3.5]
    assert arrays["velocity"][0].tolist() == [1.0, 0.0, -2.0]
    for head in ("dep", "dim", "amodel_offset", "velocity"):
        assert (arrays[f"{head}_mask"][0] == 1).all()
        assert not arrays[f"{head}_mask"][1:].any()


def test_what_is_unknown_is_masked(encode, make_recipe, make_frame):
    nothing = encode_frame(make_frame(), None, make_recipe(HEADS)).arrays
    for arrays in (encode(), nothing):
        assert arrays["mask"].sum() == 1
        assert not any(arrays[name].any() for name in arrays if name not in ("hm", "ind", "cat", "mask"))


@pytest.mark.parametrize("gap", range(3))
def test_one_missing_number_masks_all_of_its_head(gap, encode):
    dims, velocity = [1.5, 0.5, 4.0], [1.0, 2.0, 3.0]
    dims[gap] = velocity[gap] = np.nan
    arrays = encode(dims=[dims], velocities=[velocity])
    assert not arrays["dim_mask"].any()
    assert not arrays["velocity_mask"].any()
    assert not arrays["dim"].any()


@pytest.mark.parametrize(("slowest", "known"), [(-1000.0, False), (-10000.0, False), (-999.9, True)])
def test_a_velocity_of_a_thousand_backwards_is_no_velocity(slowest, known, encode):
    arrays = encode(velocities=[[0.0, slowest, 1.0]])
    assert bool(arrays["velocity_mask"].all(axis=1)[0]) == known
    assert arrays["velocity"].any() == known


@pytest.mark.parametrize(
    ("attribute", "chosen", "group"),
    [
        (0, [], []),
        (1, [0], [0, 1]),
        (2, [1], [0, 1]),
        (3, [2], [2, 3, 4]),
        (5, [4], [2, 3, 4]),
        (6, [5], [5, 6, 7]),
        (8, [7], [5, 6, 7]),
    ],
)
def test_attributes_exclude_those_of_their_kind_only(attribute, chosen, group, encode):
    arrays = encode(attributes=[attribute])
    assert np.flatnonzero(arrays["nuscenes_att"][0]).tolist() == chosen
    assert np.flatnonzero(arrays["nuscenes_att_mask"][0]).tolist() == group


@pytest.mark.parametrize(
    ("degrees", "bins"),
    [
        (-90, [1, 0]),
        (90, [0, 1]),
        (0, [1, 1]),
        (29, [1, 1]),
        (31, [0, 1]),
        (-31, [1, 0]),
        (151, [1, 1]),
        (149, [0, 1]),
        (-151, [1, 1]),
        (-149, [1, 0]),
        (180, [1, 1]),
    ],
)
def test_rotations_fall_into_overlapping_bins(degrees, bins, encode):
    arrays = encode(alphas=[np.radians(degrees)])
    assert arrays["rot_mask"].tolist() == [1] + 7 * [0]
    assert arrays["rotbin"][0].tolist() == bins
    residuals = np.radians(degrees) - np.radians([-90, 90])
    np.testing.assert_allclose(arrays["rotres"][0], residuals * bins, atol=1e-6)


@pytest.mark.parametrize(
    ("alpha", "bins"),
    [(np.pi / 6, [0, 1]), (-np.pi / 6, [1, 0]), (5 * np.pi / 6, [0, 1]), (-5 * np.pi / 6, [1, 0])],
)
def test_the_bins_leave_their_borders_out(alpha, bins, encode):
    assert encode(alphas=[alpha])["rotbin"][0].tolist() == bins
