import numpy as np
import pytest

from lossrt.errors import InputError
from lossrt.targets.annotations import Frame, FrameSequence, RowCounts, frame_pairs


def frame(index, boxes=((1.0, 2.0, 3.0, 4.0),), ids=(1,), classes=(1,)):
    return Frame("street", index, 10, 20, np.array(boxes), np.array(ids), np.array(classes))


def test_previous_is_the_frame_numbered_one_less():
    one, two, four = frame(1), frame(2), frame(4)
    sequence = FrameSequence("street", (one, two, four))
    assert [sequence.previous(position) for position in range(3)] == [None, one, None]


def test_pairs_never_reach_across_sequences():
    first, second = FrameSequence("a", (frame(1), frame(2))), FrameSequence("b", (frame(3),))
    assert [before is not None for _, before in frame_pairs([first, second])] == [False, True, False]


def test_total_sums_every_count():
    sequence = FrameSequence("a", (), (RowCounts(39, 22, 16), RowCounts(1, 1, 0)))
    assert sequence.total == RowCounts(40, 23, 16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": (1, 2)}, r"frame 7 of 'street': expected boxes \[N, 4\]"),
        ({"boxes": ((1.0, 2.0, 3.0),)}, r"expected boxes \[N, 4\]"),
        ({"boxes": ((1.0, 2.0, np.nan, 4.0),)}, "box 0: expected finite"),
        ({"boxes": ((1.0, 2.0, np.inf, 4.0),)}, "box 0: expected finite"),
        ({"boxes": ((3.0, 2.0, 1.0, 4.0),)}, "left <= right"),
        ({"boxes": ((1.0, 4.0, 3.0, 2.0),)}, "top <= bottom"),
    ],
    ids=["lengths", "columns", "nan", "inf", "right-before-left", "bottom-above-top"],
)
def test_a_frame_refuses(changes, words):
    with pytest.raises(InputError, match=words):
        frame(7, **changes)
