import pytest

from lossrt.errors import InputError
from lossrt.targets.formats import read_annotations
from tests.targets.test_motchallenge import INFO, write


def test_a_folder_of_sequences_is_read_in_name_order(tmp_path):
    for name in ("b", "a", "c"):
        write(tmp_path / name, info=INFO.replace("street", name))
    (tmp_path / "notes").mkdir()
    (tmp_path / "readme.txt").write_text("hello")
    assert [sequence.name for sequence in read_annotations(str(tmp_path))] == ["a", "b", "c"]


def test_one_broken_sequence_of_several_is_an_error(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", rows=None)
    with pytest.raises(InputError, match=r"b/gt/gt\.txt': missing"):
        read_annotations(tmp_path)


def test_nothing_at_the_path(tmp_path):
    with pytest.raises(InputError, match="got nothing at this path; check the path"):
        read_annotations(tmp_path / "nowhere")


def test_a_file(tmp_path):
    (tmp_path / "a.txt").write_text("{}")
    with pytest.raises(InputError, match=r"expected a MOTChallenge sequence .* got another file; give the folder, or"):
        read_annotations(tmp_path / "a.txt")


def test_tracks_are_numbered_through_all_sequences(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, info=INFO.replace("street", name), rows=("1,5,9,9,9,9,1,1,1", "1,3,9,9,9,9,1,1,1"))
    frames = [sequence.frames[0] for sequence in read_annotations(tmp_path)]
    assert [frame.identities.tolist() for frame in frames] == [[1, 0], [3, 2]]


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="got an empty folder; give the folder that holds"):
        read_annotations(tmp_path)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "img1").mkdir()
    with pytest.raises(InputError, match="got a folder without one"):
        read_annotations(tmp_path)
