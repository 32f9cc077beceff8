import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.targets.annotations import RowCounts
from lossrt.targets.formats import read_annotations
from lossrt.targets.motchallenge import read_motchallenge

INFO = "[Sequence]\nname=street\nimDir=img1\nframeRate=30\nseqLength=9\nimWidth=1920\nimHeight=1080\nimExt=.jpg\n"
ROW = "1,1,912,484,97,109,1,1,1.0"


def write(place, *, info=INFO, rows=(ROW,)):
    (place / "gt").mkdir(parents=True)
    if info is not None:
        (place / "seqinfo.ini").write_text(info)
    if rows is not None:
        (place / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    return place


def test_real_sequence(mot17_02):
    (sequence,) = read_annotations(mot17_02)
    assert sequence.name == "MOT17-02-FRCNN"
    assert [frame.index for frame in sequence.frames] == [1, 2, 3, 4]
    assert sequence.counts == (RowCounts(rows=39, considered=22, kept=16),) * 4
    first = sequence.frames[0]
    assert (first.height, first.width) == (1080, 1920)
    assert first.boxes[0].tolist() == [1338, 418, 1338 + 167, 418 + 379]
    assert first.track_ids.tolist() == [2, 3, 8, 9, 10, 14, 15, 17, 18, 19, 20, 26, 31, 39, 68, 69]
    assert set(first.class_ids.tolist()) == {1}


def test_conversion_of_every_class(tmp_path):
    rows = [f"1,{number},10,10,5,5,1,{number},1" for number in range(1, 14)]
    frame = read_motchallenge(write(tmp_path / "s", rows=rows)).frames[0]
    wanted = {1: 1, 2: -1, 7: -1, 8: -1, 12: -1, 13: 1}
    assert dict(zip(frame.track_ids.tolist(), frame.class_ids.tolist(), strict=True)) == wanted


@pytest.mark.parametrize(
    ("flag", "visibility", "kept"),
    [("1", "0.25", 1), ("1", "0.2499", 0), ("0", "1.0", 0), ("1.0", "1", 1), ("2", "1", 0)],
)
def test_conversion_of_flag_and_visibility(flag, visibility, kept, tmp_path):
    sequence = read_motchallenge(write(tmp_path / "s", rows=[f"1,1,10,10,5,5,{flag},1,{visibility}"]))
    assert len(sequence.frames[0].boxes) == kept
    assert sequence.total == RowCounts(rows=1, considered=int(float(flag) == 1), kept=kept)


def test_rows_in_any_order_and_frames_without_a_row(tmp_path):
    rows = ["3,7,1,1,5,5,1,1,1", "1,2,1,1,5,5,1,1,1", "", "3,4,2,2,5,5,1,1,1\r"]
    sequence = read_motchallenge(write(tmp_path / "s", rows=rows))
    assert [frame.track_ids.tolist() for frame in sequence.frames] == [[2], [], [7, 4]]
    assert [count.rows for count in sequence.counts] == [1, 0, 2]
    assert sequence.frames[1].boxes.shape == (0, 4)


def test_sides_are_float32_as_in_the_conversion(tmp_path):
    frame = read_motchallenge(write(tmp_path / "s", rows=["1,1,0.1,0.2,0.3,0.4,1,1,1"])).frames[0]
    left, width = float(np.float32(0.1)), float(np.float32(0.3))
    assert frame.boxes[0, [0, 2]].tolist() == [left, left + width]


def test_without_a_name_the_folder_gives_it(tmp_path):
    info = INFO.replace("name=street\n", "")
    assert read_motchallenge(write(tmp_path / "alley", info=info)).name == "alley"


BAD_ROWS = {
    "short": ("1,2,3,4,5,6,1,1", "expected 9 columns .* got 8"),
    "long": ("1,2,3,4,5,6,1,1,1,1", "expected 9 columns .* got 10"),
    "blank-separated": ("1 2 3 4 5 6 1 1 1", "expected 9 columns .* got 1"),
    "word": ("1,2,3,4,five,6,1,1,1", "width: expected a number, got 'five'"),
    "no-value": ("1,2,,4,5,6,1,1,1", "left: expected a number, got ''"),
    "nan": ("1,2,nan,4,5,6,1,1,1", "expected finite numbers"),
    "infinite": ("1,2,3,4,inf,6,1,1,1", "expected finite numbers"),
    "huge": ("1,2,3,4,1e300,6,1,1,1", "expected finite numbers"),
    "fraction-of-a-frame": ("1.5,2,3,4,5,6,1,1,1", "expected whole numbers"),
    "fraction-of-an-id": ("1,2.5,3,4,5,6,1,1,1", "expected whole numbers"),
    "frame-zero": ("0,2,3,4,5,6,1,1,1", r"expected a frame in 1\.\.9 \(seqLength"),
    "frame-past-the-end": ("10,2,3,4,5,6,1,1,1", r"expected a frame in 1\.\.9 \(seqLength"),
    "negative-id": ("1,-1,3,4,5,6,1,1,1", "expected an id >= 0"),
    "zero-width": ("1,2,3,4,0,6,1,1,1", "expected a width and a height > 0"),
    "negative-height": ("1,2,3,4,5,-6,1,1,1", "expected a width and a height > 0"),
    "id-twice": ("1,1,3,4,5,6,1,1,1", r"expected each id once a frame \(this one stands in line 1 already\)"),
}


@pytest.mark.parametrize(("row", "words"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_names_file_and_line(row, words, tmp_path):
    place = write(tmp_path / "s", rows=[ROW, "", row, "2,9,1,1,1,1,1,1,1"])
    with pytest.raises(InputError, match=rf"gt\.txt' line 3: .*{words}.*(fix|convert)"):
        read_annotations(place)


BAD_INFO = {
    "missing": (None, r"seqinfo\.ini': missing"),
    "empty": ("", r"seqinfo\.ini': expected a section \[Sequence\]"),
    "other-section": ("[Video]\nseqLength=9\n", r"seqinfo\.ini': expected a section \[Sequence\], got \['Video'\]"),
    "not-ini": ("seqLength=9\n", r"seqinfo\.ini': expected an INI file"),
    "twice": (INFO + "seqLength=9\n", r"seqinfo\.ini': expected an INI file"),
    "no-length": (INFO.replace("seqLength", "length"), r"seqinfo\.ini': key 'seqLength' of \[Sequence\]: missing"),
    "no-width": (INFO.replace("imWidth=1920\n", ""), r"seqinfo\.ini': key 'imWidth' of \[Sequence\]: missing"),
    "no-height": (INFO.replace("imHeight=1080\n", ""), r"seqinfo\.ini': key 'imHeight' of \[Sequence\]: missing"),
    "word": (INFO.replace("1920", "wide"), "key 'imWidth': expected a whole number in 1..100000, got 'wide'"),
    "zero": (INFO.replace("1080", "0"), "key 'imHeight': expected a whole number"),
    "negative": (INFO.replace("=9", "=-9"), "key 'seqLength': expected a whole number"),
    "huge": (INFO.replace("=9", "=" + "9" * 5000), "key 'seqLength': expected a whole number"),
}


@pytest.mark.parametrize(("info", "words"), BAD_INFO.values(), ids=BAD_INFO)
def test_a_bad_seqinfo_names_file_and_key(info, words, tmp_path):
    place = write(tmp_path / "s", info=info)
    with pytest.raises(InputError, match=words):
        read_annotations(place)


@pytest.mark.parametrize(
    ("rows", "words"), [(None, r"gt\.txt': missing"), ((), r"gt\.txt': expected rows of .*, got none")]
)
def test_without_rows(rows, words, tmp_path):
    place = write(tmp_path / "s", rows=rows)
    with pytest.raises(InputError, match=words):
        read_annotations(place)


def test_bytes_that_are_no_text(tmp_path):
    place = write(tmp_path / "s")
    (place / "gt" / "gt.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"gt\.txt': expected UTF-8 text"):
        read_annotations(place)
