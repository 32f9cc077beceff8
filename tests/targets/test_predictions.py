import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from lossrt.errors import InputError
from lossrt.recipe import load_recipe
from lossrt.targets.annotations import frame_pairs
from lossrt.targets.encode import encode_batch
from lossrt.targets.predictions import half_trained_predictions, read_heads
from lossrt.targets.scene import walking_pedestrians


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("mot17", batch=2)


@pytest.fixture(scope="module")
def batch(recipe):
    return encode_batch(frame_pairs([walking_pedestrians(recipe, frames=2, seed=5)]), recipe).arrays


def test_shapes_names_and_seed(batch, recipe):
    one, two, other = (half_trained_predictions(batch, recipe, seed=seed) for seed in (1, 1, 2))
    assert {name: array.shape[1] for name, array in one.items()} == {
        "pred_hm": 1,
        "pred_reg": 2,
        "pred_wh": 2,
        "pred_tracking": 2,
        "pred_ltrb_amodal": 4,
    }
    for name, array in one.items():
        assert (array.shape[0], *array.shape[2:]) == (2, 136, 240)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, two[name])
        assert (array != other[name]).any()


def test_heatmap_is_background_but_for_peaks_on_objects(batch, recipe):
    logits = half_trained_predictions(batch, recipe, seed=1)["pred_hm"]
    assert np.median(logits[batch["hm"] == 0]) == pytest.approx(-4.6, abs=0.05)
    assert logits[batch["hm"] == 1].mean() == pytest.approx(2.0, abs=0.5)
    halfway = (batch["hm"] > 0.2) & (batch["hm"] < 0.3)  # a blurred peak is higher there than 0.25 of the way up
    assert logits[halfway].mean() == pytest.approx(-4.6 + 6.6 * 0.5, abs=0.3)


def test_regressions_hold_roughly_the_target_at_the_object(batch, recipe):
    predictions = half_trained_predictions(batch, recipe, seed=1)
    valid = batch["mask"] > 0
    image, _ = np.nonzero(valid)
    cells = batch["ind"][valid]
    alone = [np.sum((image == i) & (np.abs(cells - c) < 3)) == 1 for i, c in zip(image, cells, strict=True)]
    assert sum(alone) > 10
    for head in ("reg", "wh", "tracking", "ltrb_amodal"):
        field = predictions[f"pred_{head}"]
        said = field.reshape(2, field.shape[1], -1)[image, :, cells]
        wanted = batch[head][valid]
        error = np.abs(said - 0.9 * wanted)[alone]
        assert (error <= 5 * (0.1 + 0.05 * np.abs(wanted[alone]))).all(), head
    assert np.abs(np.median(predictions["pred_wh"])) < 0.05


def test_applied_activation_is_the_clamped_sigmoid(batch, recipe):
    applied = load_recipe("mot17", activation={"hm": "applied"})
    logits = half_trained_predictions(batch, recipe, seed=1)["pred_hm"].astype(np.float64)
    values = half_trained_predictions(batch, applied, seed=1)["pred_hm"]
    wanted = np.clip(1 / (1 + np.exp(-logits)), 1e-4, 1 - 1e-4)
    np.testing.assert_allclose(values, wanted, rtol=1e-5)
    assert values.dtype == np.float32


def test_every_stack_says_something_of_its_own(batch):
    predictions = half_trained_predictions(batch, load_recipe("mot17", num_stacks=2, finetune=None), seed=1)
    assert len(predictions) == 10
    assert (predictions["pred_wh"] != predictions["pred_wh_stack1"]).any()


def test_objects_in_the_corners_and_none_at_all(make_recipe):
    small = make_recipe()
    arrays = encode_batch(frame_pairs([walking_pedestrians(small, frames=1, seed=0, pedestrians=0)]), small).arrays
    arrays["mask"][0, :2] = 1
    arrays["ind"][0, 1] = 8 * 12 - 1
    arrays["wh"][0, :2] = [[30, 40], [50, 60]]
    field = half_trained_predictions(arrays, small, seed=0)["pred_wh"][0]
    np.testing.assert_allclose(field[:, 0, 0], [27, 36], rtol=0.3)
    np.testing.assert_allclose(field[:, 7, 11], [45, 54], rtol=0.3)
    assert np.abs(field[:, 3, 6]).max() < 1


def test_a_neighbour_does_not_cover_an_objects_own_cell(make_recipe):
    small = make_recipe()
    arrays = encode_batch(frame_pairs([walking_pedestrians(small, frames=1, seed=0, pedestrians=0)]), small).arrays
    arrays["mask"][0, :2] = 1
    arrays["ind"][0, :2] = [40, 41]
    arrays["wh"][0, :2] = [[10, 10], [90, 90]]
    field = half_trained_predictions(arrays, small, seed=0)["pred_wh"][0].reshape(2, -1)
    np.testing.assert_allclose(field[:, 40], [9, 9], rtol=0.3)
    np.testing.assert_allclose(field[:, 41], [81, 81], rtol=0.3)


@pytest.fixture
def tensors(make_recipe):
    return {
        f"pred_{head}": np.full((3, channels, 8, 12), 0.5, dtype=np.float32)
        for head, channels in make_recipe().heads.items()
    }


def test_recorded_heads_are_read(tensors, tmp_path, make_recipe):
    path = tmp_path / "heads.safetensors"
    tensors["pred_hm"][0, 0, 1, 2] = np.nan  # what a diverged network says is still what it said
    save_file({**tensors, "image": np.zeros(3, dtype=np.uint8)}, path)
    heads = read_heads(str(path), make_recipe())
    assert heads.keys() == tensors.keys()
    for name, array in heads.items():
        np.testing.assert_array_equal(array, tensors[name])


def test_recorded_heads_keep_their_type(tensors, tmp_path, make_recipe):
    path = tmp_path / "heads.safetensors"
    save_file({name: array.astype(ml_dtypes.bfloat16) for name, array in tensors.items()}, path)
    heads = read_heads(path, make_recipe())
    assert {array.dtype for array in heads.values()} == {np.dtype(ml_dtypes.bfloat16)}
    code = (
        "import sys; from lossrt.recipe import Recipe; from lossrt.targets.predictions import read_heads; "
        "recipe = Recipe.model_validate_json(sys.argv[2]); "
        "print({array.dtype.name for array in read_heads(sys.argv[1], recipe).values()}, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path), make_recipe().model_dump_json()]
    fresh = subprocess.run(command, capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == "{'bfloat16'} False"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pred_wh": None}, "tensor 'pred_wh': expected among the inputs"),
        (
            {"pred_wh": np.zeros((3, 2, 8, 11), np.float32)},
            r"tensor 'pred_wh': expected float32\[B=3, 2, 8, 12\], got float32\[3, 2, 8, 11\]",
        ),
        ({"pred_wh": np.zeros((2, 2, 8, 12), np.float32)}, r"expected float32\[B=3, 2, 8, 12\], got float32\[2, 2"),
        ({"pred_wh": np.zeros((3, 2, 96), np.float32)}, r"got float32\[3, 2, 96\]"),
        ({"pred_wh": np.zeros((3, 2, 8, 12))}, r"got float64\[3, 2, 8, 12\]"),
        ({"pred_wh": np.zeros((3, 2, 8, 12), np.int64)}, r"got int64\[3, 2, 8, 12\]"),
    ],
    ids=["missing", "map", "batch", "rank", "float64", "integers"],
)
def test_heads_of_another_form_are_refused(change, words, tensors, tmp_path, make_recipe):
    path = tmp_path / "heads.safetensors"
    save_file({name: array for name, array in {**tensors, **change}.items() if array is not None}, path)
    with pytest.raises(InputError, match=rf"heads '.*heads\.safetensors': .*{words}"):
        read_heads(path, make_recipe())


def test_logits_where_the_recipe_says_activated(tensors, tmp_path, make_recipe):
    path = tmp_path / "heads.safetensors"
    applied = make_recipe(activation={"hm": "applied"})
    save_file(tensors, path)
    assert read_heads(path, applied).keys() == tensors.keys()
    tensors["pred_hm"][1, 0, 2, 3] = -4.6
    save_file(tensors, path)
    with pytest.raises(InputError, match=r"'pred_hm': expected values in \[0, 1\].* at \(1, 0, 2, 3\)"):
        read_heads(path, applied)


@pytest.mark.parametrize("content", [b"", b"not a tensor file at all", b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}"])
def test_a_corrupt_file(content, tmp_path, make_recipe):
    path = tmp_path / "heads.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected a safetensors file, got: "):
        read_heads(path, make_recipe())


def test_a_cut_file(tensors, tmp_path, make_recipe):
    path = tmp_path / "heads.safetensors"
    save_file(tensors, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="expected a safetensors file, got: "):
        read_heads(path, make_recipe())


def test_no_file(tmp_path, make_recipe):
    with pytest.raises(InputError, match="got no file; check the path"):
        read_heads(tmp_path / "none.safetensors", make_recipe())
