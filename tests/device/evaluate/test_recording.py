import numpy as np
import pytest

from lossrt.device.evaluate.plan import planned_frames
from lossrt.device.evaluate.recording import open_recording, parameters_from
from lossrt.errors import InputError
from lossrt.recipe import load_recipe
from lossrt.spec import GraphSpec, TensorSpec


@pytest.fixture
def opened(tiny_recipe, tiny_spec):
    """Opens a recording for sequences."""

    def open_it(place, *sequences, only=None):
        planned = planned_frames(list(sequences), only=only)
        return open_recording(place, planned, tiny_spec, tiny_recipe, partial=only is not None)

    return open_it


def numbers(recording, start=0):
    """The frames' numbers, as their heads say."""
    found = []
    for heads in recording.images(start):
        assert {name: array.shape for name, array in heads.items()} == {
            "pred_hm": (1, 1, 8, 12),
            "pred_reg": (1, 2, 8, 12),
        }
        assert np.allclose(heads["pred_reg"] - heads["pred_hm"], 0.1, atol=0.01)
        found.append(int(heads["pred_hm"].flat[0]))
    return found


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_a_file_a_frame(tmp_path, make_sequence, write_heads, opened, suffix):
    for number in (8, 9, 10, 11):
        write_heads(tmp_path / f"frame_{number}.{suffix}", [number], flat=number % 2 == 0)
    (tmp_path / "notes.txt").write_text("3")
    recording = opened(tmp_path, make_sequence([8, 9, 10, 11]))
    assert numbers(recording) == [8, 9, 10, 11]
    assert numbers(recording, start=3) == [11]
    assert numbers(recording, start=4) == []


def test_batches_mixed_with_frames(tmp_path, make_sequence, write_heads, opened):
    write_heads(tmp_path / "000001.npz", [1, 2, 3])
    write_heads(tmp_path / "000004.safetensors", [4])
    write_heads(tmp_path / "000005.safetensors", [5, 6], dtype=np.float16)
    recording = opened(tmp_path, make_sequence(range(1, 7)))
    assert numbers(recording, start=1) == [2, 3, 4, 5, 6]


def test_one_file_for_all(tmp_path, make_sequence, write_heads, opened):
    path = write_heads(tmp_path / "heads.safetensors", [1, 2, 5])
    assert numbers(opened(path, make_sequence([1, 2, 5]))) == [1, 2, 5]
    numbered = write_heads(tmp_path / "n.npz", [1, 2, 5], frame=np.array([1, 2, 5]))
    assert numbers(opened(numbered, make_sequence([1, 2, 5]))) == [1, 2, 5]


def test_several_sequences_have_folders(tmp_path, make_sequence, write_heads, opened):
    write_heads(tmp_path / "a" / "1.npz", [1, 2])
    write_heads(tmp_path / "b" / "1.npz", [1])
    one, two = make_sequence([1, 2], name="a"), make_sequence([1], name="b")
    assert numbers(opened(tmp_path, one, two)) == [1, 2, 1]
    with pytest.raises(InputError, match="expected a folder 'c' in it, one for each annotated sequence"):
        opened(tmp_path, one, make_sequence([1], name="c"))


def test_chosen_frames_leave_the_others(tmp_path, make_sequence, write_heads, opened):
    for number in range(1, 9):
        write_heads(tmp_path / f"{number}.npz", [number])
    assert numbers(opened(tmp_path, make_sequence(range(1, 9)), only=(3, 5))) == [3, 4, 5]


@pytest.mark.parametrize(
    ("files", "frames", "said"),
    [
        ({"1": [1], "2": [2], "7": [7]}, range(1, 10), r"frame 3 to 6, 8 to 9 of 'street': annotated, but not"),
        ({"1": [1], "2": [2], "3": [3]}, [1, 2], r"3.npz': frame 3: not annotated in 'street', which has 1 to 2"),
        ({"1": [1, 2], "2": [2]}, [1, 2], r"2.npz': frame 2: expected one after 2, which lies in '1.npz'"),
        ({"1": [1], "01": [1]}, [1], r"1.npz': frame 1: expected one after 1, which lies in '01.npz'"),
        ({"first": [1]}, [1], r"first.npz': expected a frame's number in the file's name"),
        ({}, [1], r"expected files named <number>.safetensors or .npz, got none"),
    ],
    ids=["missing", "others", "overlap", "twice", "no number", "no file"],
)
def test_frames_that_do_not_match_are_named(tmp_path, make_sequence, write_heads, opened, files, frames, said):
    for name, content in files.items():
        write_heads(tmp_path / f"{name}.npz", content)
    with pytest.raises(InputError, match=said):
        opened(tmp_path, make_sequence(frames))


def test_only_a_few_of_many_missing_frames_are_listed(tmp_path, make_sequence, write_heads, opened):
    write_heads(tmp_path / "2.npz", [2])
    with pytest.raises(InputError, match="frame 1, 3, 5, 7, 9 and 15 more of"):
        opened(tmp_path, make_sequence(range(1, 40, 2)))


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        ([1, 3, 2], r"'frame'\[1\]: expected the annotated frame 2, got 3; record them in order"),
        ([4, 5, 6], r"'frame'\[0\]: expected the annotated frame 1, got 4"),
        ([1, 2], r"'frame'\[2\]: expected the annotated frame 3, got none"),
        ([1, 2, 3, 4], r"'frame'\[3\]: expected the annotated frame none, got 4"),
    ],
    ids=["wrong order", "others", "too few", "too many"],
)
def test_a_numbered_file_has_to_match(tmp_path, make_sequence, write_heads, opened, recorded, said):
    path = write_heads(tmp_path / "h.npz", recorded, frame=np.array(recorded))
    with pytest.raises(InputError, match=said):
        opened(path, make_sequence([1, 2, 3]))


def test_a_numbered_file_in_a_folder_has_to_match_its_name(tmp_path, make_sequence, write_heads, opened):
    write_heads(tmp_path / "5.npz", [4], frame=np.array([4]))
    with pytest.raises(InputError, match=r"5.npz': 'frame'\[0\]: expected 5, after the file's name, got 4"):
        opened(tmp_path, make_sequence([4]))


def test_in_a_folder_the_wrong_order_is_named(tmp_path, make_sequence, write_heads, opened):
    write_heads(tmp_path / "1.npz", [1, 3, 2], frame=np.array([1, 3, 2]))
    with pytest.raises(InputError, match=r"1.npz': frame 2: expected one after 3"):
        opened(tmp_path, make_sequence([1, 2, 3]))


def test_one_file_needs_an_image_a_frame(tmp_path, make_sequence, write_heads, opened):
    path = write_heads(tmp_path / "h.npz", [1, 2])
    with pytest.raises(InputError, match=r"h.npz': expected 3 images, one for each annotated frame, got 2"):
        opened(path, make_sequence([1, 2, 3]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"leave_out": ("pred_reg",)}, r"tensor 'pred_reg': missing; expected pred_reg as well"),
        (
            {"pred_reg": np.zeros((1, 4, 8, 12), np.float32)},
            r"'pred_reg': expected float32\[1, 2, 8, 12\], got float32\[1, 4, 8, 12\]",
        ),
        ({"pred_hm": np.zeros((1, 1, 9, 12), np.float32)}, r"'pred_hm': expected float32\[1, 1, 8, 12\], got .*9, 12"),
        (
            {"pred_reg": np.zeros((2, 2, 8, 12), np.float32)},
            r"'pred_reg': expected float32\[1, 2, 8, 12\], got .*\[2, 2",
        ),
        ({"pred_hm": np.zeros((1, 1, 1, 8, 12), np.float32)}, r"'pred_hm': expected"),
        ({"pred_hm": np.zeros((8, 12), np.float32)}, r"'pred_hm': expected"),
        ({"pred_hm": np.zeros((0, 1, 8, 12), np.float32)}, r"'pred_hm': expected"),
        ({"pred_hm": np.zeros((1, 1, 8, 12))}, r"'pred_hm': expected float32, float16, bfloat16, got float64"),
        ({"frame": np.array([1.5])}, r"'frame': expected whole numbers \[1\], got float64\[1\]"),
    ],
    ids=["missing", "channels", "size", "images", "5D", "2D", "none", "double", "frame"],
)
def test_heads_that_do_not_fit_are_named(tmp_path, make_sequence, write_heads, opened, change, said):
    write_heads(tmp_path / "1.npz", [1])
    write_heads(tmp_path / "2.npz", [2], **change)
    with pytest.raises(InputError, match=rf"heads '{tmp_path}/2.npz': .*{said}"):
        opened(tmp_path, make_sequence([1, 2]))


def test_other_files_and_places_are_refused(tmp_path, make_sequence, opened):
    (tmp_path / "heads.pt").write_bytes(b"x")
    with pytest.raises(InputError, match=r"expected .safetensors or .npz, got another file"):
        opened(tmp_path / "heads.pt", make_sequence([1]))
    with pytest.raises(InputError, match=r"got nothing; check the path"):
        opened(tmp_path / "none", make_sequence([1]))


def test_a_file_that_shrinks_meanwhile_is_refused(tmp_path, make_sequence, write_heads, opened):
    write_heads(tmp_path / "1.npz", [1])
    path = write_heads(tmp_path / "2.safetensors", [2])
    images = opened(tmp_path, make_sequence([1, 2])).images(0)
    next(images)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"2.safetensors'"):
        next(images)


def test_activated_heads_are_probabilities(tmp_path, make_sequence, write_heads, tiny_recipe, tiny_spec):
    recipe = load_recipe("mot17", input=(32, 48), activation={"hm": "applied"})
    values = np.full((1, 1, 8, 12), 0.5, np.float32)
    values[0, 0, 3, 4] = np.nan
    write_heads(tmp_path / "1.npz", [1], pred_hm=values)
    values = values.copy()
    values[0, 0, 2, 1] = 1.5
    write_heads(tmp_path / "2.npz", [2], pred_hm=values)
    planned = planned_frames([make_sequence([1, 2])])
    images = open_recording(tmp_path, planned, tiny_spec, recipe).images(0)
    next(images)
    with pytest.raises(
        InputError, match=r"2.npz': tensor 'pred_hm', image 0: expected values in \[0, 1\], .* got 1.5 at \(0, 2, 1\)"
    ):
        next(images)


def test_recordings_are_told_apart(tmp_path, make_sequence, write_heads, opened):
    sequence = make_sequence([1, 2])
    for folder, content in (("a", [[1], [2]]), ("b", [[1, 2]])):
        for images in content:
            write_heads(tmp_path / folder / f"{images[0]}.npz", images)
    one, two = opened(tmp_path / "a", sequence).identity, opened(tmp_path / "b", sequence).identity
    assert one != two
    assert one == opened(tmp_path / "a", sequence).identity


def test_learned_parameters_are_read_and_checked(tmp_path):
    spec = GraphSpec(
        "g",
        (TensorSpec("id_weight", "float32", ("N", 4), "parameter"), TensorSpec("s_det", "float32", (), "parameter")),
        (),
        {"N": 3},
    )
    np.savez(tmp_path / "p.npz", id_weight=np.ones((3, 4), np.float32), s_det=np.float32(2))
    arrays = parameters_from(tmp_path / "p.npz", spec)
    assert arrays["id_weight"].shape == (3, 4)
    assert arrays["s_det"] == 2
    np.savez(tmp_path / "q.npz", id_weight=np.ones((2, 4), np.float32))
    with pytest.raises(
        InputError, match=r"parameters '.*q.npz': tensor 'id_weight': expected float32\[3, 4\], got .*\[2, 4\]"
    ):
        parameters_from(tmp_path / "q.npz", spec)
